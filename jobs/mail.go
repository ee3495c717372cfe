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

	"github.com/google/uuid"
	"github.com/wneessen/go-mail"
)

// Mail sends e-mail through a mail server (SMTP). Its fields are set once, in main.
type Mail struct {
	// Server is smtp://user:password@host:587 or smtps://user:password@host:465. With a user the connection is always
	// encrypted, and the certificate is checked. Without a user, smtp:// is encrypted if the server offers it, whatever
	// its certificate: an attacker in between could read the e-mail anyway by hiding the offer.
	Server *url.URL
	From   netmail.Address
	Roots  *x509.CertPool // certificate authorities; nil: those of the system

	timeoutOverride time.Duration // of one attempt; 0: sendTimeout
}

func (m *Mail) timeout() time.Duration { return cmp.Or(m.timeoutOverride, sendTimeout) }

// SendNow sends an e-mail of plain text to one person and does not store it. It is for e-mail that must not be kept,
// such as a link with a secret. A request waits for it, so it gives up after ten seconds.
func (m *Mail) SendNow(ctx context.Context, to, subject, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.send(ctx, mailMessage{to: to, subject: subject, text: text, id: uuid.NewString(), date: time.Now()})
}

// mailMessage is an e-mail of plain text to one person, before it is encoded.
type mailMessage struct {
	to, subject, text string
	id                string // of the message; the same for each attempt
	date              time.Time
}

// send gives an e-mail to the mail server. It returns as soon as ctx ends.
func (m *Mail) send(ctx context.Context, l mailMessage) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the connection in any state
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

// message encodes an e-mail. Texts of people go through the library's header encoding, which leaves no line break.
func (m *Mail) message(l mailMessage) (*mail.Msg, error) {
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
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that no out-of-office reply answers
	msg.SetUserAgent("Carillon")
	msg.Subject(oneLine(l.subject, 200))
	msg.SetBodyString(mail.TypeTextPlain, l.text)
	return msg, nil
}

// client makes a client whose connection ends with ctx.
func (m *Mail) client(ctx context.Context) (*mail.Client, error) {
	host := m.Server.Hostname()
	wrapped := m.Server.Scheme == "smtps"
	port, policy := 587, mail.TLSOpportunistic
	config := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	password, _ := m.Server.User.Password()
	options := []mail.Option{mail.WithTimeout(m.timeout()), mail.WithTLSConfig(config), mail.WithoutNoop()}
	switch {
	case wrapped:
		port, policy = 465, mail.NoTLS // encrypted from the first byte
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
	// The library has a timeout for each step; this one is for all steps together.
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

// redacted gives an error without the password, which a server or the library may repeat.
func (m *Mail) redacted(err error) error {
	text := err.Error()
	if password, ok := m.Server.User.Password(); ok && password != "" {
		text = strings.ReplaceAll(text, password, "***")
	}
	return errors.New(text)
}
