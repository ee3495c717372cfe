package web

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
)

// served is the site behind the server of a real start, with its limits, as an address.
func (s *site) served(change func(*http.Server)) string {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(s.t, err)
	server := s.server.HTTP(s.routes)
	if change != nil {
		change(server)
	}
	go func() { _ = server.Serve(listener) }()
	s.t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func TestFormsOfStrangersAreSmall(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	forged := s.nobody()
	for _, who := range []*browser{s.nobody(), forged} {
		for _, path := range []string{"/login", "/setup", "/join/x", "/automations", "/logout", "/nowhere"} {
			req, err := http.NewRequest(http.MethodPost, s.http.URL+path,
				strings.NewReader("email="+strings.Repeat("x", page.MaxStrangersForm)))
			check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if who == forged {
				req.Header.Set("Cookie", "carillon=forged")
			}
			if got := who.do(req); got.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s of a stranger with %d bytes answered %d; want 413", path, page.MaxStrangersForm,
					got.StatusCode)
			}
		}
	}
	b.post("/tickets", "workspace", s.workspace, "title", "X", "body", strings.Repeat("x", page.MaxStrangersForm+1)).
		expect(t, 422, "At most 64 KiB fit.")
}

// Many small values take far more memory than their bytes.
func TestAFormOfVeryManyValuesIsRefused(t *testing.T) {
	b := open(t).as("Mira", account.RoleMember)
	for name, form := range map[string]string{
		"many names": many("%d=&", 100_000), "one name": strings.Repeat("a&", 1_000_000),
	} {
		req, err := http.NewRequest(http.MethodPost, b.http.URL+"/tickets", strings.NewReader(form))
		check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := b.do(req); got.StatusCode != http.StatusBadRequest {
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
	b := open(t).as("Mira", account.RoleMember)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	check(t, form.WriteField("title", "a\x00b\xff"))
	check(t, form.WriteField("workspace", b.workspace))
	check(t, form.Close())
	for _, kind := range []string{form.FormDataContentType(),
		strings.Replace(form.FormDataContentType(), "multipart/form-data", "Multipart/Form-Data", 1)} {
		req, err := http.NewRequest(http.MethodPost, b.http.URL+"/tickets", bytes.NewReader(body.Bytes()))
		check(t, err)
		req.Header.Set("Content-Type", kind)
		b.do(req).expect(t, http.StatusUnsupportedMediaType, "")
	}
}

func TestHeadersAreBoundedInSizeAndTime(t *testing.T) {
	s := open(t)
	address := s.served(func(server *http.Server) {
		if server.ReadHeaderTimeout <= 0 || server.ReadHeaderTimeout > 30*time.Second || server.ReadTimeout <= 0 ||
			server.IdleTimeout <= 0 || server.WriteTimeout <= 0 {
			t.Errorf("the server waits %v for headers, %v for a request, %v for another, %v for a reader; want limits",
				server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout, server.WriteTimeout)
		}
		server.ReadHeaderTimeout = patience
	})
	hasty := s.served(func(server *http.Server) { server.ReadHeaderTimeout = 100 * time.Millisecond })
	ask := func(address, text string) string {
		c, err := net.Dial("tcp", address)
		check(t, err)
		defer c.Close() //nolint:errcheck // read to its end below
		check(t, c.SetDeadline(time.Now().Add(patience)))
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
