package jobs

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/db"
)

// mailbox is a mail server that keeps what it is given.
type mailbox struct {
	t        *testing.T
	listener net.Listener
	identity *tls.Config // of STARTTLS, or of the whole connection; nil: none
	wrapped  bool        // encrypted before the first word
	refusal  string      // answered to RCPT, if any
	users    string      // user and password that may send, such as "mira:s3cret"; empty: everyone

	mu        sync.Mutex
	letters   []received
	passwords []string // said by clients, with whether it could be overheard
}

// received is an e-mail as it arrived.
type received struct {
	from, to  string
	encrypted bool
	raw       string
}

func newMailbox(t *testing.T, change func(m *mailbox)) *mailbox {
	t.Helper()
	m := &mailbox{t: t}
	if change != nil {
		change(m)
	}
	var err error
	m.listener, err = net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := m.listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { m.talk(conn) })
		}
	})
	t.Cleanup(func() {
		_ = m.listener.Close()
		open.Wait()
	})
	return m
}

// talk speaks SMTP, RFC 5321, as far as a sender needs it.
func (m *mailbox) talk(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	encrypted := false
	if m.wrapped {
		conn, encrypted = tls.Server(conn, m.identity), true
	}
	defer func() { _ = conn.Close() }()
	text := textproto.NewConn(conn)
	say := func(line string) { _ = text.PrintfLine("%s", line) }
	say("220 mail.example.com ready")
	var r received
	known := m.users == ""
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-mail.example.com")
			if m.identity != nil && !encrypted {
				say("250-STARTTLS")
			}
			if m.users != "" {
				say("250-AUTH PLAIN LOGIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn, encrypted = tls.Server(conn, m.identity), true
			text = textproto.NewConn(conn)
		case "AUTH":
			_, initial, _ := strings.Cut(rest, " ")
			raw, _ := base64.StdEncoding.DecodeString(initial)
			_, pair, _ := strings.Cut(string(raw), "\x00")
			pair = strings.ReplaceAll(pair, "\x00", ":")
			m.mu.Lock()
			m.passwords = append(m.passwords, pair)
			m.mu.Unlock()
			if known = pair == m.users; known {
				say("235 welcome")
			} else {
				say("535 not you, " + pair) // a server that repeats what it was told
			}
		case "MAIL":
			if !known {
				say("530 sign in first")
				continue
			}
			r = received{from: rest, encrypted: encrypted}
			say("250 ok")
		case "RCPT":
			if m.refusal != "" {
				say(m.refusal)
				continue
			}
			r.to += rest
			say("250 ok")
		case "DATA":
			say("354 go on")
			raw, err := io.ReadAll(text.DotReader())
			if err != nil {
				return
			}
			r.raw = string(raw)
			m.mu.Lock()
			m.letters = append(m.letters, r)
			m.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (m *mailbox) got() []received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]received(nil), m.letters...)
}

// server is how a Deliverer reaches it.
func (m *mailbox) server(user string) *Mail {
	u := &url.URL{Scheme: "smtp", Host: m.listener.Addr().String()}
	if m.wrapped {
		u.Scheme = "smtps"
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		u.User = url.UserPassword(name, password)
	}
	return &Mail{
		Server: u, From: netmail.Address{Name: "Carillon", Address: "carillon@example.com"}, timeoutOverride: patience,
	}
}

// identity makes a certificate for 127.0.0.1, and what it takes to trust it.
func identity(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	check(t, err)
	c, err = x509.ParseCertificate(der)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

// read takes an e-mail apart.
func read(t *testing.T, raw string) (header netmail.Header, subject, body string) {
	t.Helper()
	msg, err := netmail.ReadMessage(bufio.NewReader(strings.NewReader(raw)))
	check(t, err)
	subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	check(t, err)
	text, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
	check(t, err)
	return msg.Header, subject, strings.ReplaceAll(string(text), "\r\n", "\n")
}

func TestAnEmailSaysWhatHappenedAndLeadsToTheAutomation(t *testing.T) {
	p := setupPost(t)
	m := newMailbox(t, nil)
	p.Mail = m.server("")
	p.wants(true, "")
	a := p.automation("Nightly audit")
	n := p.tell(func(n *db.Notification) {
		n.AutomationID = a
		n.Title = "Prüfung was disabled"
		n.Link = "https://github.com/x/y/pull/97"
	})
	check(t, p.Emails(t.Context()))
	list := m.got()
	if len(list) != 1 || list[0].from != "FROM:<carillon@example.com> BODY=8BITMIME" ||
		list[0].to != "TO:<mira@example.com>" {
		t.Fatalf("got %+v; want one letter to Mira", list)
	}
	header, subject, body := read(t, list[0].raw)
	c := p.only()
	if subject != "Prüfung was disabled" || header.Get("From") != `"Carillon" <carillon@example.com>` ||
		header.Get("To") != "<mira@example.com>" ||
		header.Get("Message-ID") != "<"+c.ID.String()+"@example.com>" ||
		header.Get("Auto-Submitted") != "auto-generated" || header.Get("Date") != "Mon, 23 Nov 2026 12:00:00 +0000" {
		t.Errorf("subject %q, header %v", subject, header)
	}
	want := "Prüfung was disabled\n\n3 runs in a row failed.\n\n" +
		"Nightly audit: https://carillon.example.com/automations/" + a.String() + "\n" +
		"Pull request: https://github.com/x/y/pull/97\n" +
		"In your inbox: https://carillon.example.com/inbox/" + n.ID.String() + "\n\n" +
		"You get this because your profile asks for copies by e-mail: https://carillon.example.com/settings/profile\n"
	if strings.TrimSpace(body) != strings.TrimSpace(want) {
		t.Errorf("the letter says\n%s\nwant\n%s", body, want)
	}
	if c.Status != db.CopySent {
		t.Errorf("the copy is %+v; want it sent", c)
	}
}

func TestLineBreaksInNamesMakeNoHeaders(t *testing.T) {
	p := setupPost(t)
	m := newMailbox(t, nil)
	p.Mail = m.server("")
	p.wants(true, "")
	const evil = "Audit\r\nBcc: eve@example.com\r\n\r\n<script>\n.\r\nMAIL FROM:<eve@example.com>\r\n"
	a := p.automation(evil)
	p.tell(func(n *db.Notification) {
		n.AutomationID = a
		n.Title = evil + strings.Repeat("é", 300)
		n.Body = "\r\n.\r\nQUIT\r\n" + evil
	})
	check(t, p.Emails(t.Context()))
	list := m.got()
	if len(list) != 1 {
		t.Fatalf("got %d letters, %+v; want one", len(list), p.copies())
	}
	header, subject, body := read(t, list[0].raw)
	if header.Get("Bcc") != "" || strings.ContainsAny(subject, "\r\n") ||
		!strings.HasPrefix(subject, "Audit  Bcc: eve@example.com") || len(subject) > 200 {
		t.Errorf("subject %q, header %v", subject, header)
	}
	if !strings.Contains(body, "QUIT") || !strings.Contains(body, "You get this because") {
		t.Errorf("the letter was cut: %q", body)
	}
	if strings.Contains(list[0].to, "eve") {
		t.Errorf("it went to %s", list[0].to)
	}
}

func TestEmailIsEncryptedWhereTheServerOffersIt(t *testing.T) {
	p := setupPost(t)
	own, _ := identity(t)
	m := newMailbox(t, func(m *mailbox) { m.identity = own })
	p.Mail = m.server("")
	p.wants(true, "")
	p.tell(nil)
	check(t, p.Emails(t.Context()))
	if list := m.got(); len(list) != 1 || !list[0].encrypted {
		t.Errorf("got %+v and %+v; want one letter, encrypted", list, p.only())
	}
}

func TestAPasswordIsOnlySaidToTheRightServerAndEncrypted(t *testing.T) {
	own, roots := identity(t)
	for _, tt := range []struct {
		name      string
		server    func(m *mailbox)
		roots     *x509.CertPool
		delivered bool
		said      int
	}{
		{"by STARTTLS", func(m *mailbox) { m.identity = own }, roots, true, 1},
		{"encrypted from the start", func(m *mailbox) { m.identity, m.wrapped = own, true }, roots, true, 1},
		{"STARTTLS is not offered", func(*mailbox) {}, roots, false, 0},
		{"a certificate of a stranger", func(m *mailbox) { m.identity = own }, x509.NewCertPool(), false, 0},
		{"a certificate of a stranger from the start", func(m *mailbox) {
			m.identity, m.wrapped = own, true
		}, x509.NewCertPool(), false, 0},
		{"another password is wanted", func(m *mailbox) { m.identity, m.users = own, "mira:other" }, roots, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := setupPost(t)
			m := newMailbox(t, func(m *mailbox) { m.users = "mira:s3cr%t"; tt.server(m) })
			p.Mail = m.server("mira:s3cr%t")
			p.Mail.Roots = tt.roots
			p.wants(true, "")
			p.tell(nil)
			check(t, p.Emails(t.Context()))
			m.mu.Lock()
			said := len(m.passwords)
			m.mu.Unlock()
			c := p.only()
			if got := len(m.got()) == 1 && c.Status == db.CopySent; got != tt.delivered || said != tt.said {
				t.Errorf("delivered: %v, password said %d times, copy %+v; want %v and %d", got, said, c, tt.delivered,
					tt.said)
			}
			if strings.Contains(c.LastError+p.log.String(), "s3cr%t") {
				t.Errorf("the password is in %q or the log %s", c.LastError, p.log)
			}
		})
	}
}

func TestAnEmailThatIsRefusedIsTriedAgain(t *testing.T) {
	p := setupPost(t)
	m := newMailbox(t, func(m *mailbox) { m.refusal = "451 try later" })
	p.Mail = m.server("")
	p.wants(true, "")
	p.tell(nil)
	check(t, p.Emails(t.Context()))
	if c := p.only(); c.Status != db.CopyQueued || !strings.Contains(c.LastError, `451 "try later"`) ||
		!c.NextAttemptAt.Equal(p.clock().Add(time.Minute)) {
		t.Errorf("got %+v; want another attempt in a minute", c)
	}
}

func TestAMailServerThatIsAwayIsTriedAgain(t *testing.T) {
	p := setupPost(t)
	m := newMailbox(t, nil)
	p.Mail = m.server("")
	check(t, m.listener.Close())
	p.wants(true, "")
	p.tell(nil)
	check(t, p.Emails(t.Context()))
	if c := p.only(); c.Status != db.CopyQueued || !strings.Contains(c.LastError, "refused") {
		t.Errorf("got %+v; want another attempt", c)
	}
}

func TestAStoppedProcessLeavesASilentMailServerAtOnce(t *testing.T) {
	p := setupPost(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close() //nolint:errcheck // the test is over
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan struct{})
	go func() {
		conn, err := silent.Accept()
		if err != nil {
			return
		}
		cancel()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		close(closed)
	}()
	m := &Mail{
		Server: &url.URL{Scheme: "smtp", Host: silent.Addr().String()},
		From:   netmail.Address{Address: "carillon@example.com"}, timeoutOverride: patience,
	}
	if err := m.send(ctx, mailMessage{
		to: "mira@example.com", subject: "x", text: "x", id: "x", date: p.clock(),
	}); err == nil {
		t.Error("it was sent")
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the connection was left open")
	}
}
