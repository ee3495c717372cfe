package automation

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/payload"
	"carillon/app/workflow"
	"carillon/db"
)

// Bounds of a webhook call.
const (
	// keepBody is how much of a body the delivery keeps.
	keepBody = 64 << 10
	// keyFor is how long the first answer to a delivery's key, or to what was signed, is given again.
	keyFor = 24 * time.Hour
)

// Answer is what a caller is told.
type Answer struct {
	Status     int // of HTTP
	Error      string
	Execution  uuid.UUID
	Session    uuid.UUID
	Automation string
	Unresolved []string // nil: a workflow, or nothing was started
}

// verdicts of deliveries.
const (
	verdictStarted   = "started"
	verdictBusy      = "busy"
	verdictFiltered  = "filtered"
	verdictSignature = "signature"
	verdictInvalid   = "invalid"
	verdictTooLarge  = "too_large"
	verdictUnable    = "unable"
	verdictDuplicate = "duplicate"
	verdictError     = "error"
)

// TokenOwner finds the automation that a token fires. It returns fault.ErrNotFound for a token that is unknown or has
// been regenerated away.
func (s Webhooks) TokenOwner(ctx context.Context, hash []byte) (*db.TokenOwner, error) {
	return account.Found(db.AutomationByToken(ctx, s.DB, hash, s.Now()))
}

// Receive handles a call of an automation: it starts a run, or says why not, and records the delivery. The answer is
// durable before it is returned. An error means that the call is neither answered nor recorded.
func (s Webhooks) Receive(ctx context.Context, o *db.TokenOwner, fingerprint string,
	call payload.Call) (*Answer, error) {
	call = call.WithRedacted(o)
	signature, problem := s.signed(o, call)
	if problem != "" {
		return s.reject(ctx, o, fingerprint, call, verdictSignature,
			&Answer{Status: 401, Error: problem, Automation: o.Name})
	}
	parameters, body, problem := payload.Read(call)
	if problem != "" {
		return s.reject(ctx, o, fingerprint, call, verdictInvalid,
			&Answer{Status: 400, Error: problem, Automation: o.Name})
	}
	if ok, why := payload.Matches(o.Filter, parameters, body); !ok {
		return s.reject(ctx, o, fingerprint, call, verdictFiltered,
			&Answer{Status: 200, Error: why, Automation: o.Name})
	}
	if body != "" { // a prompt is kept as it is sent
		_, body, _ = payload.Read(call.Redacted(o))
	}
	crash.Here(crash.CallReceived)
	answer := &Answer{}
	by := Trigger{Source: db.ByWebhook, Fingerprint: fingerprint, Payload: body}
	by.Parameters, by.hidden = payload.HideGiven(o, parameters)
	err := s.Runs().startTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		again, err := s.firstAnswer(ctx, tx, o, call.Key, signature)
		if err != nil {
			return err
		}
		if again != nil {
			*answer = *again
			return db.InsertDelivery(ctx, tx, s.delivery(o, fingerprint, call, verdictDuplicate, answer))
		}
		run, err := s.Runs().start(ctx, tx, o.ID, by)
		if err != nil {
			return err
		}
		crash.Here(crash.CallStarted)
		*answer = Answer{
			Status: 200, Execution: run.Execution.ID, Session: run.Session.ID, Automation: run.Automation,
			Unresolved: run.Unresolved,
		}
		if err := s.saveAnswer(ctx, tx, o, call.Key, signature, answer); err != nil {
			return err
		}
		return db.InsertDelivery(ctx, tx, s.delivery(o, fingerprint, call, verdictStarted, answer))
	})
	if err == nil {
		crash.Here(crash.CallCommitted)
		s.notifyRun(o.ID)
	}
	return s.answer(ctx, o, fingerprint, call, by, answer, err)
}

// answer turns how a start went into what the caller is told.
func (s Webhooks) answer(ctx context.Context, o *db.TokenOwner, fingerprint string, call payload.Call, by Trigger,
	answer *Answer, err error) (*Answer, error) {
	var busy *Busy
	var unable *Unable
	var missing *workflow.MissingParameter
	switch {
	case err == nil:
		return answer, nil
	case errors.As(err, &busy):
		return s.reject(ctx, o, fingerprint, call, verdictBusy, &Answer{
			Status: 409, Error: busy.Error(), Execution: busy.Execution, Session: busy.Session,
			Automation: busy.Automation,
		})
	case errors.As(err, &unable):
		id, err := s.Runs().recordUnable(ctx, o.ID, by, unable)
		if err != nil {
			return nil, err
		}
		return s.reject(ctx, o, fingerprint, call, verdictUnable,
			&Answer{Status: 400, Error: unable.Reason, Execution: id, Automation: unable.Automation})
	case errors.As(err, &missing):
		return s.reject(ctx, o, fingerprint, call, verdictInvalid,
			&Answer{Status: 400, Error: missing.Error(), Automation: o.Name})
	case errors.Is(err, ErrTooLarge):
		return s.reject(ctx, o, fingerprint, call, verdictTooLarge,
			&Answer{Status: 413, Error: err.Error(), Automation: o.Name})
	case errors.Is(err, fault.ErrNotFound): // deleted between the look at its token and the start
		return &Answer{Status: 404, Error: "no automation has this token"}, nil
	}
	return nil, fmt.Errorf("receive a call of automation %s: %w", o.ID, err)
}

// reject records a call that started nothing.
func (s Webhooks) reject(ctx context.Context, o *db.TokenOwner, fingerprint string, call payload.Call, verdict string,
	a *Answer) (*Answer, error) {
	if err := db.InsertDelivery(ctx, s.DB, s.delivery(o, fingerprint, call, verdict, a)); err != nil {
		return nil, err
	}
	return a, nil
}

// TooLarge records a call whose body is over payload.MaxBody.
func (s Webhooks) TooLarge(ctx context.Context, o *db.TokenOwner, fingerprint string,
	call payload.Call) (*Answer, error) {
	return s.reject(ctx, o, fingerprint, call, verdictTooLarge, &Answer{
		Status: 413, Error: "the body is over 1 MiB", Automation: o.Name,
	})
}

// Unreadable records a call whose body could not be read.
func (s Webhooks) Unreadable(ctx context.Context, o *db.TokenOwner, fingerprint string, call payload.Call,
	reason string) (*Answer, error) {
	return s.reject(ctx, o, fingerprint, call, verdictInvalid, &Answer{Status: 400, Error: reason, Automation: o.Name})
}

// firstAnswer finds the first answer to a delivery's key, or to what it has signed, and keeps others with the same key
// or signature waiting until this transaction has one. A key is not signed: who repeats a signed call may give it
// another.
func (s Webhooks) firstAnswer(ctx context.Context, tx bun.Tx, o *db.TokenOwner, key string,
	signature []byte) (*Answer, error) {
	since := s.Now().Add(-keyFor)
	if key != "" {
		if err := db.LockText(ctx, tx, o.ID.String()+" "+key); err != nil {
			return nil, err
		}
		k, err := db.DeliveryKeyByName(ctx, tx, o.ID, key, since)
		if err == nil {
			a := &Answer{}
			return a, json.Unmarshal(k.Answer, a)
		}
		if !db.IsNotFound(err) {
			return nil, err
		}
	}
	if signature == nil {
		return nil, nil
	}
	if err := db.LockText(ctx, tx, o.ID.String()+" signed "+hex.EncodeToString(signature)); err != nil {
		return nil, err
	}
	text, err := db.AnswerToSigned(ctx, tx, &db.SignedBody{AutomationID: o.ID, Signature: signature}, since)
	if err != nil || text == nil {
		return nil, err
	}
	a := &Answer{}
	return a, json.Unmarshal(text, a)
}

// saveAnswer keeps the answer to a delivery for others with its key, and for others that show the same signature.
func (s Webhooks) saveAnswer(ctx context.Context, tx bun.Tx, o *db.TokenOwner, key string, signature []byte,
	answer *Answer) error {
	if key == "" && signature == nil {
		return nil
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if key != "" {
		k := &db.DeliveryKey{AutomationID: o.ID, Key: key, At: s.Now(), Status: answer.Status, Answer: text}
		if err := db.SaveDeliveryKey(ctx, tx, k); err != nil {
			return err
		}
	}
	if signature == nil {
		return nil
	}
	return db.SaveSigned(ctx, tx, &db.SignedBody{AutomationID: o.ID, Signature: signature, At: s.Now(), Answer: text})
}

func (s Webhooks) delivery(o *db.TokenOwner, fingerprint string, call payload.Call, verdict string,
	a *Answer) *db.Delivery {
	now := s.Now()
	text, _ := json.Marshal(a) // ids, numbers and strings always marshal
	d := &db.Delivery{
		ID: db.NewID(), AutomationID: o.ID, At: now, LastAt: now, Method: call.Method, Address: call.Address,
		Fingerprint: fingerprint,
		Headers:     call.Headers, Verdict: verdict, Status: a.Status, Answer: text, Folded: 1,
	}
	if d.Headers == nil {
		d.Headers = map[string]string{}
	}
	s.keepCall(o, call, d)
	switch verdict {
	case verdictBusy:
		d.BlockedBy = a.Execution
	case verdictStarted, verdictUnable, verdictDuplicate:
		d.ExecutionID = a.Execution
	}
	return d
}
