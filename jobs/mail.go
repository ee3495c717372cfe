package jobs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Mail is the mail server through which e-mail leaves. Its fields are set once, in main.
type Mail struct {
	// Server is smtp://user:password@host:587 or smtps://user:password@host:465. With a user the connection is always
	// encrypted, and the certificate checked. Without one, smtp:// is encrypted where the server offers it, whatever
	// its certificate: there is nothing to give away that an attacker in between could not have by hiding the offer.
	Server *url.URL
	From   netmail.Address
	Roots  *x509.CertPool // whose certificates count; nil: the system's

	patience time.Duration // bounds one attempt; 0 is sendTimeout
}

func (m *Mail) timeout() time.Duration { return cmp.Or(m.patience, sendTimeout) }

// letter is an e-mail of plain text to one person.
type letter struct {
	to, subject, text string
	id                string // what it is known by; the same for each attempt to send it
	date              time.Time
}

// send hands a letter to the mail server. It returns as soon as ctx is over.
func (m *Mail) send(ctx context.Context, l letter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the connection, whatever state it was left in
	msg, err := m.message(l)
	if err != nil {
		return err
	}
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return m.redacted(err)
	}
	return nil
}

// message is a letter as it is sent. Texts of people go through the library's header encoding, which leaves no line
// break.
func (m *Mail) message(l letter) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(m.From.String()); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := msg.To(l.to); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	_, domain, _ := strings.Cut(m.From.Address, "@")
	msg.SetMessageIDWithValue(l.id + "@" + domain)
	msg.SetDateWithValue(l.date)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that no holiday note answers
	msg.SetUserAgent("Carillon")
	msg.Subject(oneLine(l.subject, 200))
	msg.SetBodyString(mail.TypeTextPlain, l.text)
	return msg, nil
}

// client is a connection to come, that ends with ctx.
func (m *Mail) client(ctx context.Context) (*mail.Client, error) {
	host := m.Server.Hostname()
	wrapped := m.Server.Scheme == "smtps"
	port, policy := 587, mail.TLSOpportunistic
	config := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	password, _ := m.Server.User.Password()
	options := []mail.Option{mail.WithTimeout(m.timeout()), mail.WithTLSConfig(config), mail.WithoutNoop()}
	switch {
	case wrapped:
		port, policy = 465, mail.NoTLS // encrypted before the first word
	case m.Server.User != nil:
		policy = mail.TLSMandatory
	default:
		config.InsecureSkipVerify = true //nolint:gosec // see Server
	}
	if m.Server.User != nil {
		options = append(options, mail.WithUsername(m.Server.User.Username()), mail.WithPassword(password),
			mail.WithOpportunisticSMTPAuth(
				mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin,
				mail.SMTPAuthCramMD5))
	}
	if text := m.Server.Port(); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("mail server: %w", err)
		}
		port = n
	}
	// The library bounds each step by itself; this bounds them all together.
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if !wrapped {
			return conn, nil
		}
		encrypted := tls.Client(conn, config)
		return encrypted, encrypted.HandshakeContext(dialing)
	}
	return mail.NewClient(host, append(options, mail.WithPort(port), mail.WithTLSPolicy(policy),
		mail.WithDialContextFunc(dial))...)
}

// redacted is an error without the password, in whatever form a server or the library repeats it.
func (m *Mail) redacted(err error) error {
	text := err.Error()
	if password, ok := m.Server.User.Password(); ok && password != "" {
		text = strings.ReplaceAll(text, password, "***")
	}
	return errors.New(text)
}
