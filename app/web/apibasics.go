package web

import (
	"context"
	"net/http"

	"carillon/app/account"
	"carillon/app/automation"
)

// APIMe is who asks.
type APIMe struct {
	ID          string   `json:"id" format:"uuid"`
	Name        string   `json:"name"`
	Email       string   `json:"email"`
	TimeZone    string   `json:"time_zone" doc:"IANA name."`
	Permissions []string `json:"permissions" doc:"What this token may do now, with what is included."`
}

// APIWorkspace is a workspace as a list has it.
type APIWorkspace struct {
	ID            string `json:"id" format:"uuid"`
	Name          string `json:"name"`
	URL           string `json:"url" format:"uri" doc:"Its page."`
	DefaultBranch string `json:"default_branch"`
	Provider      string `json:"provider" doc:"Id of the default provider."`
	Model         string `json:"model"`
}

// APIProvider is a way to run a coding agent.
type APIProvider struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Script    bool     `json:"script" doc:"The prompt is a shell script. Using it needs the permission shell.use."`
	Enabled   bool     `json:"enabled" doc:"Whether automations may use it."`
	Installed *bool    `json:"installed,omitempty" doc:"Whether its program is found on this server; absent while that is not known yet."`
	Models    []string `json:"models" doc:"The models that are offered. Any other name may be given: the agent says at the run whether it has it."`
}

const basicsTag = "Basics"

func (a *api) basicRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/me", name: "getMe", tag: basicsTag, summary: "Who asks, and what they may do",
	}, a.me)
	answers(a, apiOp{
		method: http.MethodGet, path: "/providers", name: "listProviders", tag: basicsTag,
		summary: "List the providers with their models",
	}, a.listProviders)
}

func (a *api) me(_ context.Context, actor account.Actor, _ *struct{}) (APIMe, error) {
	me := APIMe{
		ID: actor.ID.String(), Name: actor.Name, Email: actor.Email, TimeZone: actor.TimeZone, Permissions: []string{},
	}
	for _, p := range account.Permissions {
		if actor.Can(p.Permission) {
			me.Permissions = append(me.Permissions, string(p.Permission))
		}
	}
	return me, nil
}

func (a *api) listProviders(context.Context, account.Actor, *struct{}) (pageOf[APIProvider], error) {
	list := a.Rules.Providers()
	return paginate(list, len(list), func(p *automation.Provider) APIProvider {
		item := APIProvider{
			ID: p.ID, Name: p.Name, Script: p.Script, Enabled: !p.Off, Models: append([]string{}, p.Models...),
		}
		if a.Found != nil {
			if found, known := a.Found(p.ID); known {
				there := found.Problem == ""
				item.Installed = &there
			}
		}
		return item
	}, nil), nil
}
