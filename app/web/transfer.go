package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// transferForm offers an automation's next owners to whoever may give it away, and the audit log to whoever may read
// it.
func (s automationPages) transferForm(r *http.Request, actor account.Actor, id uuid.UUID,
	p *views.AutomationPage) error {
	if actor.Can(account.ViewAudit) {
		owner := &p.Groups[len(p.Groups)-1]
		owner.Facts = append(owner.Facts, views.Fact{
			Label: "Changes", Value: "Audit log", URL: views.AuditSubjectURL(id.String()),
		})
	}
	if !p.Automation.CanManage {
		return nil
	}
	possibleOwners, err := s.Rules.Transfers().PossibleOwners(r.Context(), actor, id)
	if err != nil {
		return err
	}
	p.Transfer = views.NewTransferField()
	p.Transfer.Options = choicesOf(possibleOwners)
	return nil
}

func choicesOf(people []db.User) []views.Choice {
	var list []views.Choice
	for _, u := range people {
		list = append(list, views.Choice{Value: u.ID.String(), Label: u.Name})
	}
	return list
}

func (s automationPages) transfer(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	offered, err := s.Rules.Transfers().Transfer(r.Context(), actor, automationID,
		form.OptionalID(r.PostFormValue("to")))
	if err != nil {
		return err
	}
	to := views.AutomationSettingsURL(automationID.String())
	if _, err := s.Rules.Definitions().Find(r.Context(), actor, automationID); errors.Is(err, fault.ErrNotFound) {
		to = "/automations" // who sees their own alone sees it no more
	}
	if offered {
		return s.Redirect(w, r, to, "Offered. The owner changes when the offer is accepted.")
	}
	return s.Redirect(w, r, to, "Transferred.")
}

// offer is the open offer of an automation, as far as it concerns the actor.
func (s automationPages) offer(r *http.Request, actor account.Actor, a *db.Automation) (views.OfferData, error) {
	o, err := s.Rules.Transfers().Offer(r.Context(), actor, a)
	if err != nil || o == nil {
		return views.OfferData{}, err
	}
	data := views.OfferData{Mine: o.ToID == actor.ID, Version: strconv.FormatInt(a.Version, 10)}
	data.Text = fmt.Sprintf("%s has offered it to %s, who has not answered yet.", o.From.Name, o.To.Name)
	if data.Mine {
		data.Text = o.From.Name +
			" asks you to take over this automation. It would run with your access, so check its settings and its " +
			"prompt first."
	}
	return data, nil
}

// answerOffer accepts, declines or withdraws the open offer of an automation.
func (s automationPages) answerOffer(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	to, said := views.AutomationURL(automationID.String()), ""
	switch r.PostFormValue("answer") {
	case "accept":
		version, _ := strconv.ParseInt(r.PostFormValue("version"), 10, 64) // one that is none is stale
		said, err = "You are the owner now.", s.Rules.Transfers().Accept(r.Context(), actor, automationID, version)
	case "decline":
		to, said, err = "/automations", "Declined.", s.Rules.Transfers().Decline(r.Context(), actor, automationID)
	case "withdraw":
		said, err = "Withdrawn.", s.Rules.Transfers().Withdraw(r.Context(), actor, automationID)
	default:
		if _, err = s.Rules.Definitions().Find(r.Context(), actor, automationID); err == nil {
			err = fault.Invalid{"answer": "Accept or decline the offer."}
		}
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, to, said)
}
