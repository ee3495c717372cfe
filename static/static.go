// Package static holds what the browser fetches besides pages: the stylesheet, htmx, our own
// JavaScript, fonts and icons. It knows how to name and serve them, and nothing of what they show.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed app.css app.js htmx.js favicon.svg icons.svg chevron.svg inter.woff2 mono.woff2 LICENSES.txt
var files embed.FS

// Go's own table lacks woff2 unless the host has one, and nosniff turns a missing type into a refusal.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

type asset struct {
	body, zipped []byte // zipped is nil where compressing gains nothing
	contentType  string
}

// assets and version are computed from what is embedded, once, and never change.
var assets, version = load()

func load() (map[string]asset, string) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("read the embedded assets: " + err.Error())
	}
	all := map[string]asset{}
	sum := sha256.New()
	for _, e := range entries { // sorted by name
		body, err := files.ReadFile(e.Name())
		if err != nil {
			panic("read the embedded asset " + e.Name() + ": " + err.Error())
		}
		_, _ = io.WriteString(sum, e.Name()+"\x00")
		_, _ = sum.Write(body)
		all[e.Name()] = asset{body: body, zipped: compress(e.Name(), body), contentType: types[path.Ext(e.Name())]}
	}
	return all, hex.EncodeToString(sum.Sum(nil))[:12]
}

func compress(name string, body []byte) []byte {
	if path.Ext(name) == ".woff2" {
		return nil // compressed by its format
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("compress the embedded asset " + name + ": " + err.Error())
	}
	return b.Bytes()
}

// URL is the address of an asset by its file name. The hash in it covers the whole folder, so that
// files may name each other by relative addresses. It panics on a name that does not exist, which
// any test that renders the page notices.
func URL(name string) string {
	if _, ok := assets[name]; !ok {
		panic("static: no asset " + name)
	}
	return "/static/" + version + "/" + name
}

// Handler serves GET and HEAD of /static/{hash}/{name}. The current hash may be cached for ever; an
// older one gets today's file with no-cache, so that a page left open across an update still works.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/static/"), "/")
		a, ok := assets[name]
		if !ok || !isHash(hash) {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		if hash == version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		body := a.body
		if a.zipped != nil {
			h.Set("Vary", "Accept-Encoding")
			if acceptsGzip(r.Header.Get("Accept-Encoding")) {
				h.Set("Content-Encoding", "gzip")
				body = a.zipped
			}
		}
		// An ETag per encoding, since a strong one promises equal bytes.
		h.Set("ETag", `"`+version+"-"+name+"-"+h.Get("Content-Encoding")+`"`)
		if slices.Contains(strings.Split(r.Header.Get("If-None-Match"), ", "), h.Get("ETag")) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.Method == http.MethodHead {
			return
		}
		_, _ = w.Write(body) // a client that went away
	})
}

func isHash(s string) bool {
	return len(s) == len(version) && strings.Trim(s, "0123456789abcdef") == ""
}

// acceptsGzip reads an Accept-Encoding header; gzip;q=0 is a refusal.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		_, q, _ := strings.Cut(weight, "=")
		q = strings.TrimSpace(q)
		return q == "" || strings.Trim(q, "0.") != ""
	}
	return false
}
