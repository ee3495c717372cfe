package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/manifest"
	"carillon/views"
)

// APIManifest is a manifest to plan or to apply.
type APIManifest struct {
	Files       []APIManifestFile `json:"files" minItems:"1" maxItems:"1000"`
	Environment map[string]string `json:"environment,omitempty" doc:"Values for what the files take from the caller's environment with from_env."`
	Prune       bool              `json:"prune,omitempty" doc:"Delete what the files lack within the workspaces that they name, as far as you may."`
}

// APIManifestFile is one file of a manifest.
type APIManifestFile struct {
	Name    string `json:"name" maxLength:"1000" doc:"For messages."`
	Content string `json:"content" doc:"YAML documents, each with a kind: Automation, Workflow or Bot."`
}

// APIApplication is a manifest with the plan that is to be applied.
type APIApplication struct {
	APIManifest
	Fingerprint string `json:"fingerprint" maxLength:"64" doc:"Of the plan."`
}

// APIPlan is what applying a manifest does, or has done.
type APIPlan struct {
	Fingerprint string            `json:"fingerprint" doc:"Stands for this plan and for what it is based on. Applying it takes this along."`
	Changes     []APIPlanChange   `json:"changes" doc:"In the order of the documents; deletions last."`
	Webhooks    []APIPlanWebhook  `json:"webhooks,omitempty" doc:"Of an applied plan: addresses of new HTTP Triggers with their secret tokens, this once."`
	Counts      APIPlanChangeKind `json:"counts"`
}

// APIPlanChangeKind counts changes by what they do.
type APIPlanChangeKind struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Unchanged int `json:"unchanged"`
}

// APIPlanChange is what happens to one automation, workflow or bot.
type APIPlanChange struct {
	Action    string         `json:"action" enum:"create,update,delete,unchanged"`
	Kind      string         `json:"kind" enum:"Automation,Workflow,Bot"`
	Workspace string         `json:"workspace,omitempty" doc:"Its name. Absent: for all workspaces."`
	Name      string         `json:"name"`
	ID        string         `json:"id,omitempty" format:"uuid" doc:"Absent for what is yet to be made."`
	Fields    []APIPlanField `json:"fields,omitempty"`
	Note      string         `json:"note,omitempty" doc:"What else comes of it, as a sentence."`
}

// APIPlanField is a field that changes. Secrets are shown as (secret).
type APIPlanField struct {
	Field  string `json:"field" doc:"Its path in the document, such as budget.day.money."`
	Before any    `json:"before,omitempty" doc:"A text, a number, a boolean or a list of texts. Absent: nothing."`
	After  any    `json:"after,omitempty"`
}

// APIPlanWebhook is the address of a new HTTP Trigger.
type APIPlanWebhook struct {
	AutomationID string `json:"automation_id" format:"uuid"`
	Name         string `json:"name"`
	URL          string `json:"url" format:"uri"`
}

// planOf is a plan as the API shows it.
func (s *Server) planOf(p *automation.ManifestPlan) APIPlan {
	plan := APIPlan{Fingerprint: p.Fingerprint, Changes: []APIPlanChange{}}
	for _, c := range p.Changes {
		change := APIPlanChange{
			Action: c.Action, Kind: string(c.Kind), Workspace: c.Workspace, Name: c.Name, ID: idOrNone(c.ID),
			Note: c.Note,
		}
		for _, f := range c.Fields {
			change.Fields = append(change.Fields, APIPlanField(f))
		}
		plan.Changes = append(plan.Changes, change)
		switch c.Action {
		case automation.PlanCreate:
			plan.Counts.Create++
		case automation.PlanUpdate:
			plan.Counts.Update++
		case automation.PlanDelete:
			plan.Counts.Delete++
		default:
			plan.Counts.Unchanged++
		}
	}
	for _, t := range p.Tokens {
		plan.Webhooks = append(plan.Webhooks, APIPlanWebhook{
			AutomationID: t.Automation.String(), Name: t.Name, URL: s.link(views.TriggerURL(t.Token)),
		})
	}
	return plan
}

// maxAPIManifest is the most bytes of a manifest as JSON: the files, with every line break escaped, and then some.
const maxAPIManifest = 3 * manifest.MaxSize

const manifestsTag = "Manifests"

func (a *api) manifestRoutes() {
	answers(a, apiOp{method: http.MethodPost, path: "/plans", name: "planManifest", tag: manifestsTag,
		summary: "Plan a manifest", most: maxAPIManifest,
		about: "Says what applying automations, workflows and bots in YAML would change, and changes nothing. All " +
			"mistakes are told together, each with its file and line."}, a.planManifest)
	answers(a, apiOp{method: http.MethodPost, path: "/applications", name: "applyManifest", tag: manifestsTag,
		summary: "Apply a planned manifest", most: maxAPIManifest,
		about: "All of it or nothing. When it would do anything else than the plan, the answer is 409 with the code " +
			"`stale`: plan again."}, a.applyManifest)
	o := apiOp{method: http.MethodGet, path: "/export", name: "exportManifest", tag: manifestsTag,
		summary: "Export a manifest",
		about: "What you see of automations, workflows and bots, as YAML. Secrets are left out. Applied again it " +
			"changes nothing."}.operation(http.StatusOK, false)
	huma.Register(a.huma, o, func(ctx context.Context, in *APIExportQuery) (*yamlAnswer, error) {
		text, err := a.Rules.ExportManifest(ctx, callOf(ctx).actor, in.Workspace)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &yamlAnswer{ContentType: "application/yaml", Body: text}, nil
	})
}

// APIExportQuery narrows an export.
type APIExportQuery struct {
	Workspace string `query:"workspace" maxLength:"1000" doc:"Name of the only workspace to export; without it all, with what is for all workspaces."`
}

type yamlAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (in *APIManifest) input() automation.ManifestInput {
	m := automation.ManifestInput{Environment: in.Environment, Prune: in.Prune}
	for _, f := range in.Files {
		m.Files = append(m.Files, manifest.File(f))
	}
	return m
}

func (a *api) planManifest(ctx context.Context, actor account.Actor, in *struct{ Body APIManifest }) (APIPlan, error) {
	p, err := a.Rules.PlanManifest(ctx, actor, in.Body.input())
	if err != nil {
		return APIPlan{}, err
	}
	return a.planOf(p), nil
}

func (a *api) applyManifest(ctx context.Context, actor account.Actor,
	in *struct{ Body APIApplication }) (APIPlan, error) {
	p, err := a.Rules.ApplyManifest(ctx, actor, in.Body.input(), in.Body.Fingerprint)
	if err != nil {
		return APIPlan{}, err
	}
	return a.planOf(p), nil
}
