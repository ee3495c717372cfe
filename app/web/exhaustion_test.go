package web_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
)

// served is the site behind the server of a real start, with its limits, as an address.
func served(s *webtest.Site, change func(*http.Server)) string {
	s.T.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	webtest.Check(s.T, err)
	server := s.Server.HTTP(s.Routes)
	if change != nil {
		change(server)
	}
	go func() { _ = server.Serve(listener) }()
	s.T.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func TestFormsOfStrangersAreSmall(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	forged := s.Nobody()
	for _, who := range []*webtest.Browser{s.Nobody(), forged} {
		for _, path := range []string{"/login", "/setup", "/join/x", "/automations", "/logout", "/nowhere"} {
			req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+path,
				strings.NewReader("email="+strings.Repeat("x", page.MaxStrangersForm)))
			webtest.Check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if who == forged {
				req.Header.Set("Cookie", "carillon=forged")
			}
			if got := who.Do(req); got.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s of a stranger with %d bytes answered %d; want 413", path, page.MaxStrangersForm,
					got.StatusCode)
			}
		}
	}
	b.Post("/tickets", "workspace", s.Workspace, "title", "X", "body", strings.Repeat("x", page.MaxStrangersForm+1)).
		Expect(t, 422, "At most 64 KiB fit.")
}

// Many small values take far more memory than their bytes.
func TestAFormOfVeryManyValuesIsRefused(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleMember)
	for name, form := range map[string]string{
		"many names": many("%d=&", 100_000), "one name": strings.Repeat("a&", 1_000_000),
	} {
		req, err := http.NewRequest(http.MethodPost, b.HTTP.URL+"/tickets", strings.NewReader(form))
		webtest.Check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := b.Do(req); got.StatusCode != http.StatusBadRequest {
			t.Errorf("a form of %s answered %d; want 400", name, got.StatusCode)
		}
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestFormsOfSeveralPartsAreRefusedUnread(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleMember)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	webtest.Check(t, form.WriteField("title", "a\x00b\xff"))
	webtest.Check(t, form.WriteField("workspace", b.Workspace))
	webtest.Check(t, form.Close())
	for _, kind := range []string{form.FormDataContentType(),
		strings.Replace(form.FormDataContentType(), "multipart/form-data", "Multipart/Form-Data", 1)} {
		req, err := http.NewRequest(http.MethodPost, b.HTTP.URL+"/tickets", bytes.NewReader(body.Bytes()))
		webtest.Check(t, err)
		req.Header.Set("Content-Type", kind)
		b.Do(req).Expect(t, http.StatusUnsupportedMediaType, "")
	}
}

func TestHeadersAreBoundedInSizeAndTime(t *testing.T) {
	s := webtest.Open(t)
	address := served(s, func(server *http.Server) {
		if server.ReadHeaderTimeout <= 0 || server.ReadHeaderTimeout > 30*time.Second || server.ReadTimeout <= 0 ||
			server.IdleTimeout <= 0 || server.WriteTimeout <= 0 {
			t.Errorf("the server waits %v for headers, %v for a request, %v for another, %v for a reader; want limits",
				server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout, server.WriteTimeout)
		}
		server.ReadHeaderTimeout = webtest.Patience
	})
	hasty := served(s, func(server *http.Server) { server.ReadHeaderTimeout = 100 * time.Millisecond })
	ask := func(address, text string) string {
		c, err := net.Dial("tcp", address)
		webtest.Check(t, err)
		defer c.Close() //nolint:errcheck // read to its end below
		webtest.Check(t, c.SetDeadline(time.Now().Add(webtest.Patience)))
		_, _ = io.WriteString(c, text) // the server may have hung up already
		line, err := bufio.NewReader(c).ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the server waits on")
		}
		return strings.TrimSpace(line)
	}
	if got := ask(address, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 128<<10)+
		"\r\n\r\n"); !strings.Contains(got, " 431 ") {
		t.Errorf("headers of 128 KiB are answered %q; want 431", got)
	}
	if got := ask(hasty, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow"); strings.Contains(got, " 200 ") {
		t.Errorf("headers that never end are answered %q", got)
	}
	if got := ask(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, " 200 ") {
		t.Errorf("a plain request is answered %q", got)
	}
}
