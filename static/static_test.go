package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestServesByHash(t *testing.T) {
	t.Parallel()
	old := strings.Replace(URL("app.css"), version, "0123456789ab", 1)
	tests := []struct {
		name, path, accept   string
		status               int
		kind, cache, encoded string
	}{
		{"the current hash is cached for ever", URL("app.css"), "", 200, "text/css; charset=utf-8",
			"public, max-age=31536000, immutable", ""},
		{"an old hash gets today's file, not kept", old, "", 200, "text/css; charset=utf-8", "no-cache", ""},
		{"gzip when accepted", URL("htmx.js"), "br, gzip", 200, "text/javascript; charset=utf-8",
			"public, max-age=31536000, immutable", "gzip"},
		{"no gzip when refused", URL("htmx.js"), "gzip;q=0", 200, "text/javascript; charset=utf-8",
			"public, max-age=31536000, immutable", ""},
		{"fonts have their type and stay as they are", URL("inter.woff2"), "gzip", 200, "font/woff2",
			"public, max-age=31536000, immutable", ""},
		{"without a hash there is nothing", "/static/app.css", "", 404, "text/plain; charset=utf-8", "", ""},
		{"a word is no hash", "/static/latest/app.css", "", 404, "text/plain; charset=utf-8", "", ""},
		{"what is not an asset is not served", "/static/" + version + "/static.go", "", 404,
			"text/plain; charset=utf-8", "", ""},
		{"no way out of the folder", "/static/" + version + "/../app.css", "", 404, "text/plain; charset=utf-8", "",
			""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path = tt.path
			r.Header.Set("Accept-Encoding", tt.accept)
			w := httptest.NewRecorder()
			Handler().ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tt.status || h.Get("Content-Type") != tt.kind || h.Get("Cache-Control") != tt.cache ||
				h.Get("Content-Encoding") != tt.encoded {
				t.Errorf("answered %d %v; want %d %q %q %q", w.Code, h, tt.status, tt.kind, tt.cache, tt.encoded)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v lack nosniff", h)
			}
			if tt.encoded == "gzip" {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, assets["htmx.js"].body) {
					t.Errorf("unpacked %d bytes, %v; want the file", len(got), err)
				}
			}
		})
	}
}

func TestAnswersNotModified(t *testing.T) {
	t.Parallel()
	first := httptest.NewRecorder()
	Handler().ServeHTTP(first, httptest.NewRequest("GET", URL("app.css"), nil))
	r := httptest.NewRequest("GET", URL("app.css"), nil)
	r.Header.Set("If-None-Match", first.Header().Get("ETag"))
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("answered %d with %d bytes; want 304 without", w.Code, w.Body.Len())
	}
}

func TestURLPanicsOnUnknownName(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	URL("nope.css")
}

func TestEveryAssetHasATypeAndEveryFileThatCSSNamesExists(t *testing.T) {
	t.Parallel()
	for name, a := range assets {
		if a.contentType == "" {
			t.Errorf("%s has no content type", name)
		}
	}
	for _, m := range regexp.MustCompile(`url\("([^"]+)"\)`).FindAllSubmatch(assets["app.css"].body, -1) {
		if _, ok := assets[string(m[1])]; !ok {
			t.Errorf("app.css names %s, which is not served", m[1])
		}
	}
}
