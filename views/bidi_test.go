package views

import (
	"strings"
	"testing"

	"github.com/a-h/templ"
)

func TestNamesInSentencesAreIsolated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c    templ.Component
		want string
	}{
		{Sentence("A run of “ניתוח” is in flight, “b” too"),
			"A run of “<bdi>ניתוח</bdi>” is in flight, “<bdi>b</bdi>” too"},
		{Sentence("Delete “<b onclick=x>\"'&”?"), "Delete “<bdi>&lt;b onclick=x&gt;&#34;&#39;&amp;</bdi>”?"},
		{Sentence("nothing “” <i>"), "nothing “” &lt;i&gt;"},
		{Sentence("never “closed"), "never “closed"},
		{Dotted("ניתוח · Develop · <b>"), "<bdi>ניתוח</bdi> · <bdi>Develop</bdi> · <bdi>&lt;b&gt;</bdi>"},
	} {
		var b strings.Builder
		if err := tt.c.Render(t.Context(), &b); err != nil || b.String() != tt.want {
			t.Errorf("got %s, %v; want %s", b.String(), err, tt.want)
		}
	}
}
