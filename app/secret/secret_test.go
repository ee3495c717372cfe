package secret

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is a secret of 32 equal bytes.
func root(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func parse(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSecretIs32BytesOfBase64OrSeveral(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		keys       int // 0: refused
	}{
		{"one", root('a'), 1},
		{"two with blanks between", root('a') + " , " + root('b'), 2},
		{"nothing", "", 0},
		{"31 bytes", base64.StdEncoding.EncodeToString(make([]byte, 31)), 0},
		{"33 bytes", base64.StdEncoding.EncodeToString(make([]byte, 33)), 0},
		{"not base64", "correct horse battery staple", 0},
		{"a comma at the end", root('a') + ",", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := Parse(tt.text)
			if tt.keys == 0 {
				if err == nil || strings.Contains(err.Error(), "\n") || tt.text != "" &&
					strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v; want one sentence that does not repeat the secret", err)
				}
				return
			}
			if err != nil || len(k.Cookies()) != 2*tt.keys {
				t.Errorf("got %v, %v; want %d keys in pairs", k, err, tt.keys)
			}
		})
	}
}

func TestSealedTextOpensForItsPurposeAlone(t *testing.T) {
	t.Parallel()
	k := parse(t, root('a'))
	sealed := k.Seal("pässword", "row 1")
	if bytes.Contains(sealed, []byte("pässword")) || bytes.Equal(sealed, k.Seal("pässword", "row 1")) {
		t.Error("a sealed text shows what is in it")
	}
	if got, err := k.Open(sealed, "row 1"); got != "pässword" || err != nil {
		t.Errorf("opened %q, %v; want the text", got, err)
	}
	if got, err := k.Open(sealed, "row 2"); got != "" || !errors.Is(err, ErrOpen) {
		t.Errorf("opened %q, %v for another purpose; want ErrOpen", got, err)
	}
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1
		if got, err := k.Open(forged, "row 1"); got != "" || !errors.Is(err, ErrOpen) {
			t.Fatalf("opened %q, %v with byte %d changed; want ErrOpen", got, err, i)
		}
	}
	for _, short := range [][]byte{nil, sealed[:5], sealed[:12]} {
		if _, err := k.Open(short, "row 1"); !errors.Is(err, ErrOpen) {
			t.Errorf("opening %d bytes gave %v; want ErrOpen", len(short), err)
		}
	}
}

func TestRotationOpensOldAndSealsWithTheNewest(t *testing.T) {
	t.Parallel()
	before, both, after := parse(t, root('a')), parse(t, root('b')+","+root('a')), parse(t, root('b'))
	if got, err := both.Open(before.Seal("x", "p"), "p"); got != "x" || err != nil {
		t.Errorf("opened %q, %v with an old key; want x", got, err)
	}
	if got, err := after.Open(both.Seal("x", "p"), "p"); got != "x" || err != nil {
		t.Errorf("opened %q, %v with the newest key; want x", got, err)
	}
	if _, err := after.Open(before.Seal("x", "p"), "p"); !errors.Is(err, ErrOpen) {
		t.Errorf("got %v after the old key went; want ErrOpen", err)
	}
}

func TestCookieKeysDifferFromTheSecretAndFromEachOther(t *testing.T) {
	t.Parallel()
	pairs := parse(t, root('a')+","+root('b')).Cookies()
	if bytes.Equal(pairs[0], pairs[2]) || bytes.Equal(pairs[0], bytes.Repeat([]byte{'a'}, 32)) || pairs[1] != nil ||
		pairs[3] != nil {
		t.Errorf("got %x; want two derived keys, each without one for encryption", pairs)
	}
}

func TestSecretFileIsMadeOnceAndPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	var made sync.Map
	var all sync.WaitGroup
	for range 8 { // as many servers on the same folder
		all.Go(func() {
			text, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
			}
			made.Store(text, true)
		})
	}
	all.Wait()
	n := 0
	made.Range(func(text, _ any) bool {
		n++
		parse(t, text.(string))
		return true
	})
	info, err := os.Stat(path)
	if n != 1 || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %d secrets in a file of mode %v, %v; want one, 0600", n, info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v beside it; want nothing left over", left, err)
	}
}

func TestSecretFileThatDoesNotDoIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"readable by others", root('a'), 0o644, "chmod 600"},
		{"readable by the group", root('a'), 0o640, "chmod 600"},
		{"empty", "", 0o600, "expected 32 bytes"},
		{"cut short", root('a')[:20], 0o600, "expected 32 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			_, err := LoadOrCreate(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v; want the file's name and %q", err, tt.want)
			}
		})
	}
}

func TestTokensAre43SignsAndDiffer(t *testing.T) {
	t.Parallel()
	a, b := Token(), Token()
	raw, err := base64.RawURLEncoding.DecodeString(a)
	if a == b || len(a) != 43 || err != nil || len(raw) != 32 {
		t.Errorf("got %q and %q; want two of 32 bytes", a, b)
	}
}
