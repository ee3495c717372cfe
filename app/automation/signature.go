package automation

import (
	"errors"
	"slices"
	"strings"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/payload"
	"carillon/db"
)

// signaturePurpose binds a sender's secret to its automation.
func signaturePurpose(a *db.Automation) string { return "signature " + a.ID.String() }

// SignatureSecret is the secret that the calls of an automation are signed with. It is empty for an automation that has
// none, and for nil.
func (s Webhooks) SignatureSecret(a *db.Automation) (string, error) {
	if a == nil || a.SignatureSealed == nil {
		return "", nil
	}
	return s.Keys.Open(a.SignatureSealed, signaturePurpose(a))
}

// applyWebhook takes over who signs the calls of an HTTP Trigger, its filter, and what becomes of the payload. A secret
// that is left empty stays as it is stored, for the same kind of sender.
func (s Definitions) applyWebhook(a *db.Automation, in Input, bad fault.Invalid) {
	was, sealed := a.Sender, a.SignatureSealed
	a.Sender, a.SignatureHeader, a.SignatureSealed, a.Filter, a.AppendPayload = "", "", nil, db.Filter{}, false
	if a.Trigger != db.HTTP {
		return
	}
	a.Filter, a.AppendPayload = payload.ReadFilter(in.Filter, bad), in.AppendPayload
	if in.Sender == "" {
		return
	}
	if !slices.Contains(forge.Schemes(), forge.Scheme(in.Sender)) {
		bad["sender"] = "Choose who signs the calls."
		return
	}
	a.Sender = in.Sender
	if forge.Scheme(in.Sender) == forge.SchemeHMAC {
		a.SignatureHeader = strings.TrimSpace(in.SignatureHeader)
	}
	secret := strings.TrimSpace(in.SignatureSecret)
	if secret == "" && sealed != nil && was == in.Sender {
		opened, err := s.Keys.Open(sealed, signaturePurpose(a))
		if err != nil {
			bad["signature_secret"] = "The secret stored cannot be read any more. Type it again."
			return
		}
		secret = opened
	}
	signature := forge.Signature{Scheme: forge.Scheme(in.Sender), Secret: secret, Header: a.SignatureHeader}
	switch problem := signature.Problem(); {
	case problem != "" && secret != "" && signature.Scheme == forge.SchemeHMAC:
		bad["signature_header"] = problem
	case problem != "":
		bad["signature_secret"] = problem
	case len(secret) > 1000:
		bad["signature_secret"] = "At most 1,000 characters fit."
	default:
		a.SignatureSealed = s.Keys.Seal(secret, signaturePurpose(a))
	}
}

// signed says why a call does not count as coming from the sender that an automation expects, or nothing. Signature is
// what forge.Signed says of it; nil: it is not signed, and need not be.
func (s Webhooks) signed(o *db.TokenOwner, call payload.Call) (signature []byte, problem string) {
	if o.Sender == "" {
		return nil, ""
	}
	secret, err := s.Keys.Open(o.SignatureSealed, signaturePurpose(&db.Automation{ID: o.ID}))
	if err != nil {
		s.Log.Error("open the secret of a sender", "automation", o.ID, "err", err)
		return nil, "the secret that calls are signed with cannot be read here"
	}
	want := forge.Signature{Scheme: forge.Scheme(o.Sender), Secret: secret, Header: o.SignatureHeader}
	err = want.Check(call.Signed, call.Sent, s.Now())
	switch {
	case err == nil:
		return want.Signed(call.Signed, call.Sent), ""
	case errors.Is(err, forge.ErrNoSignature):
		return nil, "the call is not signed"
	case errors.Is(err, forge.ErrTimestamp):
		return nil, "the signature is too old, or of the future"
	}
	return nil, "the signature is wrong"
}

// payloadName is the parameter in which a run keeps the payload that it is given whole.
const payloadName = "payload"
