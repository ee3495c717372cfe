package main

import (
	"strings"
	"testing"
)

func TestSettingsOfEmailAreCheckedAndNeverPrinted(t *testing.T) {
	t.Parallel()
	const from = "Carillon <carillon@example.com>"
	for _, tt := range []struct {
		name, server, from string
		private            string
		want               string // of the error; empty: accepted
	}{
		{"nothing is set", "", "", "", ""},
		{"with a user", "smtp://me:s3cret@mail.example.com:587", from, "", ""},
		{"encrypted from the start, without a port", "smtps://mail.example.com", "carillon@example.com", "on", ""},
		{"without a sender", "smtp://mail.example.com", "", "", "must be set together"},
		{"without a server", "", from, "", "must be set together"},
		{"another scheme", "https://me:s3cret@mail.example.com", from, "",
			"CARILLON_SMTP_URL is set (hidden); expected an address such as"},
		{"no host", "smtp://", from, "", "CARILLON_SMTP_URL is set (hidden); expected an address such as"},
		{"a path", "smtp://mail.example.com/x", from, "", "expected an address such as"},
		{"a port out of range", "smtp://mail.example.com:70000", from, "", "expected a port up to 65535"},
		{"a user without a password", "smtp://s3cret@mail.example.com", from, "",
			"expected a user with a password, or neither"},
		{"a bad escape in the password", "smtp://me:s3cret%zz@mail.example.com", from, "",
			"signs such as @ in the password as %40"},
		{"a sender that is no address", "smtp://mail.example.com", "Carillon", "",
			`CARILLON_SMTP_FROM is "Carillon"; expected an e-mail address`},
		{"a sender with a line break", "smtp://mail.example.com", "a@example.com\r\nBcc: eve@example.com", "",
			"CARILLON_SMTP_FROM"},
		{"a word that is neither on nor off", "", "", "yes", `CARILLON_OUTBOUND_PRIVATE is "yes"; expected on or off`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := map[string]string{
				"CARILLON_SMTP_URL": tt.server, "CARILLON_SMTP_FROM": tt.from, "CARILLON_OUTBOUND_PRIVATE": tt.private,
			}
			getenv := func(name string) string { return set[name] }
			c, err := readConfig(getenv)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.ContainsAny(got, "\r\n") {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			if err == nil && ((c.SMTP != nil) != (tt.server != "") || c.Private != (tt.private == "on")) {
				t.Errorf("got %+v", c)
			}
			var printed strings.Builder
			printSettings(&printed, getenv)
			if strings.Contains(got+printed.String(), "s3cret") {
				t.Error("the password shows")
			}
		})
	}
}
