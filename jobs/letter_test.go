package jobs

import (
	"strings"
	"testing"
)

func TestALetterIsSentAtOnceAndItsSubjectStaysOneLine(t *testing.T) {
	t.Parallel()
	m := newMailbox(t, nil)
	check(t, m.server("").SendNow(t.Context(), "lee@example.com", "Join\r\nBcc: eve@example.com",
		"https://carillon.example.com/join/x\n"))
	list := m.got()
	if len(list) != 1 || list[0].to != "TO:<lee@example.com>" {
		t.Fatalf("got %+v; want one letter to Lee", list)
	}
	header, subject, body := read(t, list[0].raw)
	if header.Get("Bcc") != "" || strings.ContainsAny(subject, "\r\n") || !strings.Contains(body, "/join/x") {
		t.Errorf("the letter is %s", list[0].raw)
	}
	if err := m.server("").SendNow(t.Context(), "lee@example.com>\r\nRCPT TO:<eve@example.com", "X", "x"); err == nil {
		t.Error("an address with a line break was taken")
	}
}
