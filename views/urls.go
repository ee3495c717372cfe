package views

import (
	"net/url"
	"strings"
)

// Every address that a page links is made here, from ids. Ids are escaped, so that no text of a
// person ever becomes another address.

func under(folder, id string, rest ...string) string {
	address := "/" + folder + "/" + url.PathEscape(id)
	for _, r := range rest {
		address += "/" + url.PathEscape(r)
	}
	return address
}

// AutomationURL is the page of one automation with its history.
func AutomationURL(id string) string { return under("automations", id) }

// AutomationSettingsURL is the settings tab of one automation.
func AutomationSettingsURL(id string) string { return under("automations", id, "settings") }

// AutomationEditURL is the editor of one automation; it takes the form by POST to AutomationURL.
func AutomationEditURL(id string) string { return under("automations", id, "edit") }

// AutomationNewURL is the editor of a new automation; template names a pattern to start with, or nothing.
func AutomationNewURL(template string) string {
	if template == "" {
		return "/automations/new"
	}
	return "/automations/new?template=" + url.QueryEscape(template)
}

// AutomationExecutionURL is the page of one automation with one of its executions open.
func AutomationExecutionURL(id, execution string) string {
	return AutomationURL(id) + "?execution=" + url.QueryEscape(execution)
}

// RunsURL takes POST to run an automation now; GET answers the dialog that asks for parameters.
func RunsURL(id string) string { return under("automations", id, "runs") }

// EnabledURL takes POST with enabled=true or false.
func EnabledURL(id string) string { return under("automations", id, "enabled") }

// TokenURL takes POST to make a new token for the HTTP trigger.
func TokenURL(id string) string { return under("automations", id, "token") }

// AutomationRowURL is one row of the list of automations.
func AutomationRowURL(id string) string { return under("automations", id, "row") }

// AutomationDeletionURL takes POST to delete an automation.
func AutomationDeletionURL(id string) string { return under("automations", id, "deletion") }

// ExecutionURL is the page of one execution.
func ExecutionURL(id string) string { return under("executions", id) }

// ExecutionRowURL is one row of the history.
func ExecutionRowURL(id string) string { return under("executions", id, "row") }

// CancellationURL takes POST to cancel an execution.
func CancellationURL(execution string) string { return under("executions", execution, "cancellation") }

// TriggerURL is the HTTP trigger, with the token of an automation unless that is empty.
func TriggerURL(token string) string {
	return strings.TrimSuffix("/api/automations/http-trigger/"+token, "/")
}

// ForgeHookURL is where a forge of some kind sends the webhooks of a workspace.
func ForgeHookURL(kind, workspace string) string { return under("api", "forges", kind, workspace) }

// SessionURL is the page of one session.
func SessionURL(id string) string { return under("sessions", id) }

// SessionPartURL is a part of a session's page that fetches itself again: "head", "changes" or "tickets".
func SessionPartURL(id, part string) string { return under("sessions", id, part) }

// SessionStreamURL is the stream of a session's transcript, from after the entry given, for a page that shows a state
// or none.
func SessionStreamURL(id, after, state string) string {
	address := under("sessions", id, "stream") + "?after=" + url.QueryEscape(after)
	if state != "" {
		address += "&state=" + url.QueryEscape(state)
	}
	return address
}

// SessionActionURL takes POST: "stop", "completion", "reopening", "messages" or "pull-request".
func SessionActionURL(id, action string) string { return under("sessions", id, action) }

// WorkflowURL is the page of one workflow.
func WorkflowURL(id string) string { return under("workflows", id) }

// WorkflowEditURL is the form of one workflow; it takes the form by POST to WorkflowURL.
func WorkflowEditURL(id string) string { return under("workflows", id, "edit") }

// WorkflowActionURL takes POST: "copies" or "deletion".
func WorkflowActionURL(id, action string) string { return under("workflows", id, action) }

// WorkflowNewURL is the editor of a new workflow, begun with the one that an automation's pattern runs.
func WorkflowNewURL(template string) string {
	return "/workflows/new?template=" + url.QueryEscape(template)
}

// AutomationNewWithURL is a new automation that begins with a template and runs a workflow that was made for it.
func AutomationNewWithURL(template, workflow string) string {
	return AutomationNewURL(template) + "&workflow=" + url.QueryEscape(workflow)
}

// BotURL is the page of one bot.
func BotURL(id string) string { return under("bots", id) }

// TicketURL is the page of one ticket.
func TicketURL(id string) string { return under("tickets", id) }

// WorkspaceURL is the page of one workspace.
func WorkspaceURL(id string) string { return under("workspaces", id) }

// WorkspaceEditURL is the form of one workspace; it takes the form by POST to WorkspaceURL.
func WorkspaceEditURL(id string) string { return under("workspaces", id, "edit") }

// WorkspaceActionURL takes POST: "members", "removal" (of a member), "check" or "deletion".
func WorkspaceActionURL(id, action string) string { return under("workspaces", id, action) }

// NoticeURL is one notice of the inbox.
func NoticeURL(id string) string { return under("inbox", id) }

// NoticeActionURL takes POST: "reading", "star" or "dismissal".
func NoticeActionURL(id, action string) string { return under("inbox", id, action) }

// PreferenceURL takes POST to store a preference of the reader: "workspace" or "theme".
func PreferenceURL(name string) string { return under("preferences", name) }

// ProfileURL is the page of a person's own settings; it takes their profile by POST.
func ProfileURL() string { return "/settings/profile" }

// BotEditURL is the form of one bot.
func BotEditURL(id string) string { return under("bots", id, "edit") }

// BotDeletionURL takes POST to delete a bot.
func BotDeletionURL(id string) string { return under("bots", id, "deletion") }

// DeliveriesURL is the tab of an HTTP Trigger with its calls.
func DeliveriesURL(automation string) string { return under("automations", automation, "deliveries") }

// StreakURL is the list of the calls that met one run in flight, by the first of them.
func StreakURL(automation, first string) string {
	return DeliveriesURL(automation) + "?streak=" + first
}

// DeliveryURL is the page of one call.
func DeliveryURL(automation, id string) string {
	return under("automations", automation, "deliveries", id)
}

// ReplayURL takes POST to start a run with what a call brought.
func ReplayURL(automation, id string) string {
	return under("automations", automation, "deliveries", id, "replays")
}

// AutomationTestURL is the editor with what a call would lead to. It takes the form by POST, to render it as typed.
func AutomationTestURL(automation, delivery string) string {
	return under("automations", automation, "trial") + "?delivery=" + url.QueryEscape(delivery)
}

// RunAgainURL takes POST to start a run with the input of another.
func RunAgainURL(execution string) string { return under("executions", execution, "repetitions") }

// ProfileActionURL takes POST: "password", "notices", "webhook-secret" or "sign-outs".
func ProfileActionURL(action string) string { return under("settings", "profile", action) }

// LoginEndURL takes POST to end one of a person's sign-ins.
func LoginEndURL(login string) string { return under("settings", "profile", "sign-outs", login) }

// TokensURL is the page of a person's API tokens; it takes a new one by POST.
func TokensURL() string { return "/settings/tokens" }

// APIHelpURL explains the API.
func APIHelpURL() string { return "/help/api" }

// ManualURL is a page of the manual.
func ManualURL(name string) string { return HelpURL() + "/" + url.PathEscape(name) }

// HelpURL lists the pages of the help.
func HelpURL() string { return "/help" }

// PromisesURL says what is promised and how it is tested.
func PromisesURL() string { return "/help/promises" }

// TokenRevocationURL takes POST to revoke an API token.
func TokenRevocationURL(id string) string { return under("settings", "tokens", id, "revocation") }

// TicketEditURL is the form of one ticket; it takes the form by POST to TicketURL.
func TicketEditURL(id string) string { return under("tickets", id, "edit") }

// TicketActionURL takes POST: "status" or "unlinking" (of a session).
func TicketActionURL(id, action string) string { return under("tickets", id, action) }

// UsersURL is the list of people; it takes a new one by POST.
func UsersURL() string { return "/settings/users" }

// UserNewURL is the form that invites a person.
func UserNewURL() string { return "/settings/users/new" }

// UserURL is the page of one person; it takes their name and address by POST.
func UserURL(id string) string { return under("settings", "users", id) }

// UserActionURL takes POST: "roles", "invitation", "reset", "address", "deactivation", "activation", "memberships",
// "transfer", "unlinking" or "token-revocation".
func UserActionURL(id, action string) string { return under("settings", "users", id, action) }

// JoinURL is the page of a link with which a person chooses a password.
func JoinURL(token string) string { return under("join", token) }

// RolesURL is the list of roles; it takes a new one by POST.
func RolesURL() string { return "/settings/roles" }

// RoleNewURL is the form of a new role; from is the id of one to start from, or nothing.
func RoleNewURL(from string) string {
	if from == "" {
		return "/settings/roles/new"
	}
	return "/settings/roles/new?from=" + url.QueryEscape(from)
}

// RoleURL is the page of one role; it takes the form by POST.
func RoleURL(id string) string { return under("settings", "roles", id) }

// RoleDeletionURL takes POST to delete a role.
func RoleDeletionURL(id string) string { return under("settings", "roles", id, "deletion") }

// PermissionsURL explains the permissions.
func PermissionsURL() string { return "/help/permissions" }

// AuditURL is the audit log.
func AuditURL() string { return "/settings/audit" }

// AuditSubjectURL is the audit log of one thing.
func AuditSubjectURL(id string) string { return "/settings/audit?subject=" + url.QueryEscape(id) }

// AuditPersonURL is the audit log of what one person did.
func AuditPersonURL(id string) string { return "/settings/audit?person=" + url.QueryEscape(id) }

// OfferURL takes POST with an answer to the open offer of an automation: accept, decline or withdraw.
func OfferURL(id string) string { return under("automations", id, "offer") }

// TransferURL takes POST to give an automation to another owner.
func TransferURL(id string) string { return under("automations", id, "transfer") }
