package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Write sends an e-mail of plain text to one person, now: for what must not be kept until it can be sent, such as a
// link with a secret in it. Somebody waits for it, so it gives up after ten seconds.
func (m *Mail) Write(ctx context.Context, to, subject, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.send(ctx, letter{to: to, subject: subject, text: text, id: uuid.NewString(), date: time.Now()})
}
