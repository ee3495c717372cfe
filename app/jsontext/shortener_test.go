package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAShortenedTextIsTheSameJSONWithLongStringsCut(t *testing.T) {
	t.Parallel()
	long := "begin " + strings.Repeat("x\n\"\\ü😀\u2028", 5000) + " end"
	in, err := json.Marshal(map[string]any{
		"a": long, "b": []any{1.5, "short \u0007", true, nil}, "c": map[string]string{"d": long},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []int{1, 7, 1 << 20} {
		s := &Shortener{Most: 1000, All: 1 << 20}
		for at := 0; at < len(in); at += piece {
			_, _ = s.Write(in[at:min(at+piece, len(in))])
		}
		out, ok := s.Bytes()
		var got struct {
			A string
			B []any
			C map[string]string
		}
		if err := json.Unmarshal(out, &got); err != nil || !ok {
			t.Fatalf("%v: %.200s", err, out)
		}
		if len(out) > 5000 || !strings.HasPrefix(got.A, "begin ") || !strings.HasSuffix(got.A, " end") ||
			got.C["d"] != got.A || got.B[1] != "short \u0007" {
			t.Errorf("%d bytes became %d: %.80q", len(in), len(out), got.A)
		}
	}
	s := &Shortener{Most: 1000, All: 2000}
	_, _ = s.Write(in)
	if _, ok := s.Bytes(); ok {
		t.Error("it kept more than all that may be kept")
	}
}

func FuzzShortener(f *testing.F) {
	f.Add([]byte(`{"a":"\u0000\"long long long","b":[1e9]}`), 10)
	f.Fuzz(func(t *testing.T, in []byte, most int) {
		if !json.Valid(in) || most < 0 || most > 1<<20 {
			return
		}
		s := &Shortener{Most: most, All: 1 << 30}
		_, _ = s.Write(in)
		if out, ok := s.Bytes(); !ok || !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}
