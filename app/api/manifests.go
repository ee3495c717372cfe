package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"carillon/app/account"
	"carillon/app/manifest"
	"carillon/app/plan"
	"carillon/views"
)

// Manifest is a manifest to plan or to apply.
type Manifest struct {
	Files       []ManifestFile    `json:"files" minItems:"1" maxItems:"1000"`
	Environment map[string]string `json:"environment,omitempty" doc:"Values for what the files take from the caller's environment with from_env."`
	Prune       bool              `json:"prune,omitempty" doc:"Delete what the files lack within the workspaces that they name, as far as you may."`
}

// ManifestFile is one file of a manifest.
type ManifestFile struct {
	Name    string `json:"name" maxLength:"1000" doc:"For messages."`
	Content string `json:"content" doc:"YAML documents, each with a kind: Automation, Workflow or Bot."`
}

// Application is a manifest with the plan that is to be applied.
type Application struct {
	Manifest
	Fingerprint string `json:"fingerprint" maxLength:"64" doc:"Of the plan."`
}

// Plan is what applying a manifest does, or has done.
type Plan struct {
	Fingerprint string         `json:"fingerprint" doc:"Stands for this plan and for what it is based on. Applying it takes this along."`
	Changes     []PlanChange   `json:"changes" doc:"In the order of the documents; deletions last."`
	Webhooks    []PlanWebhook  `json:"webhooks,omitempty" doc:"Of an applied plan: addresses of new HTTP Triggers with their secret tokens, this once."`
	Counts      PlanChangeKind `json:"counts"`
}

// PlanChangeKind counts changes by what they do.
type PlanChangeKind struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Unchanged int `json:"unchanged"`
}

// PlanChange is what happens to one automation, workflow or bot.
type PlanChange struct {
	Action    string      `json:"action" enum:"create,update,delete,unchanged"`
	Kind      string      `json:"kind" enum:"Automation,Workflow,Bot"`
	Workspace string      `json:"workspace,omitempty" doc:"Its name. Absent: for all workspaces."`
	Name      string      `json:"name"`
	ID        string      `json:"id,omitempty" format:"uuid" doc:"Absent for what is yet to be made."`
	Fields    []PlanField `json:"fields,omitempty"`
	Note      string      `json:"note,omitempty" doc:"What else comes of it, as a sentence."`
}

// PlanField is a field that changes. Secrets are shown as (secret).
type PlanField struct {
	Field  string `json:"field" doc:"Its path in the document, such as budget.day.money."`
	Before any    `json:"before,omitempty" doc:"A text, a number, a boolean or a list of texts. Absent: nothing."`
	After  any    `json:"after,omitempty"`
}

// PlanWebhook is the address of a new HTTP Trigger.
type PlanWebhook struct {
	AutomationID string `json:"automation_id" format:"uuid"`
	Name         string `json:"name"`
	URL          string `json:"url" format:"uri"`
}

// planOf is a plan as the API shows it.
func (a manifests) planOf(p *plan.Plan) Plan {
	made := Plan{Fingerprint: p.Fingerprint, Changes: []PlanChange{}}
	for _, c := range p.Changes {
		change := PlanChange{
			Action: c.Action, Kind: string(c.Kind), Workspace: c.Workspace, Name: c.Name, ID: idOrNone(c.ID),
			Note: c.Note,
		}
		for _, f := range c.Fields {
			change.Fields = append(change.Fields, PlanField(f))
		}
		made.Changes = append(made.Changes, change)
		switch c.Action {
		case plan.ActionCreate:
			made.Counts.Create++
		case plan.ActionUpdate:
			made.Counts.Update++
		case plan.ActionDelete:
			made.Counts.Delete++
		default:
			made.Counts.Unchanged++
		}
	}
	for _, t := range p.Tokens {
		made.Webhooks = append(made.Webhooks, PlanWebhook{
			AutomationID: t.Automation.String(), Name: t.Name, URL: a.link(views.TriggerURL(t.Token)),
		})
	}
	return made
}

// MaxManifest is the most bytes of a manifest as JSON: the files, with every line break escaped, and then some.
const MaxManifest = 3 * manifest.MaxSize

const manifestsTag = "Manifests"

// manifests are the operations on manifests.
type manifests struct{ *Server }

func (a manifests) routes() {
	answers(a.Server, operation{method: http.MethodPost, path: "/plans", name: "planManifest", tag: manifestsTag,
		summary: "Plan a manifest", most: MaxManifest,
		about: "Says what applying automations, workflows and bots in YAML would change, and changes nothing. All " +
			"mistakes are told together, each with its file and line."}, a.plan)
	answers(a.Server, operation{method: http.MethodPost, path: "/applications", name: "applyManifest",
		tag:     manifestsTag,
		summary: "Apply a planned manifest", most: MaxManifest,
		about: "All of it or nothing. When it would do anything else than the plan, the answer is 409 with the code " +
			"`stale`: plan again."}, a.apply)
	o := operation{method: http.MethodGet, path: "/export", name: "exportManifest", tag: manifestsTag,
		summary: "Export a manifest",
		about: "What you see of automations, workflows and bots, as YAML. Secrets are left out. Applied again it " +
			"changes nothing."}.described(http.StatusOK, false)
	huma.Register(a.huma, o, func(ctx context.Context, in *ExportQuery) (*yamlAnswer, error) {
		text, err := a.Plans.Export(ctx, callOf(ctx).actor, in.Workspace)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &yamlAnswer{ContentType: "application/yaml", Body: text}, nil
	})
}

// ExportQuery narrows an export.
type ExportQuery struct {
	Workspace string `query:"workspace" maxLength:"1000" doc:"Name of the only workspace to export; without it all, with what is for all workspaces."`
}

type yamlAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (in *Manifest) input() plan.Input {
	m := plan.Input{Environment: in.Environment, Prune: in.Prune}
	for _, f := range in.Files {
		m.Files = append(m.Files, manifest.File(f))
	}
	return m
}

func (a manifests) plan(ctx context.Context, actor account.Actor, in *struct{ Body Manifest }) (Plan, error) {
	p, err := a.Plans.Plan(ctx, actor, in.Body.input())
	if err != nil {
		return Plan{}, err
	}
	return a.planOf(p), nil
}

func (a manifests) apply(ctx context.Context, actor account.Actor,
	in *struct{ Body Application }) (Plan, error) {
	p, err := a.Plans.Apply(ctx, actor, in.Body.input(), in.Body.Fingerprint)
	if err != nil {
		return Plan{}, err
	}
	return a.planOf(p), nil
}
