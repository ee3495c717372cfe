package automation

import (
	"context"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/spec"
	"carillon/db"
)

// Template is a pattern to begin an automation with: the common patterns of the specification. What it says is a start;
// the editor shows all of it.
type Template struct {
	Key      string // in addresses
	Input    Input  // without a workspace, a provider and a time zone
	Workflow *WorkflowTemplate
}

// WorkflowTemplate is the workflow that a template's automation runs: messages, one after the other.
type WorkflowTemplate struct {
	Name, Description string
	Messages          []TemplateMessage
}

// TemplateMessage is a step of a template's workflow.
type TemplateMessage struct{ Label, Text string }

// Prompt is the workflow as one prompt, for where there are no workflows.
func (w *WorkflowTemplate) Prompt() string {
	text := w.Name + "."
	for _, m := range w.Messages {
		text += "\n\n" + m.Text
	}
	return text
}

// QueueEmpty is what the continuous QA loop answers when there is nothing to do; it stops the loop.
const QueueEmpty = "THE QUEUE IS EMPTY"

// Templates are the common patterns, in the order of the specification.
func Templates() []Template {
	return []Template{
		{
			Key: "nightly-audit",
			Input: Input{Automation: spec.Automation{
				Name:          "Nightly dependency audit",
				Trigger:       string(db.Recurring),
				Cron:          "0 2 * * *",
				SessionType:   string(db.Develop),
				ExecutionType: string(db.Inline),
				AutoComplete:  true,
				Prompt: "Run a dependency audit and create tickets for any high-severity findings.\n\n" +
					"Look with list_tickets whether a finding has a ticket already, and leave those out. In each " +
					"ticket say which package and version, what the finding is, and what mends it. " +
					"Report with report_result what you found; nothing_to_do when there is nothing new. Change no " +
					"files.",
				Retries: 2,
			}},
		},
		{
			Key: "release-branch",
			Input: Input{Automation: spec.Automation{
				Name:          "Roll a release branch every Friday",
				Trigger:       string(db.Recurring),
				Cron:          "0 16 * * fri",
				SessionType:   string(db.Develop),
				ExecutionType: string(db.WorkflowDriven),
				AutoComplete:  true,
				OnlyUnchanged: true,
				CreatePR:      true,
				Retries:       2,
			}},
			Workflow: &WorkflowTemplate{
				Name:        "Create release branch, bump version, open PR",
				Description: "Rolls a release branch and opens its pull request.",
				Messages: []TemplateMessage{
					{"Create the release branch",
						"Create the release branch. The branch that is checked out becomes it. Look at what has " +
							"changed since the newest release tag, and decide the next version by semantic " +
							"versioning. When nothing has changed, say so and stop."},
					{"Bump the version",
						"Bump the version wherever the repository states it, bring the changelog up to date, run the " +
							"tests, and commit."},
					{"Open the pull request",
						"Open the pull request: sum up the release for it, with the version and what has changed. If " +
							"no pull request is opened for this branch by itself and you have access to the forge, " +
							"push the branch and open it, and write its address in your answer."},
				},
			},
		},
		{
			Key: "qa-loop",
			Input: Input{Automation: spec.Automation{
				Name:          "Continuous QA loop",
				Trigger:       string(db.Loop),
				StopText:      QueueEmpty,
				SessionType:   string(db.Develop),
				ExecutionType: string(db.WorkflowDriven),
				AutoComplete:  true,
				OnlyUnchanged: true,
				Retries:       2,
			}},
			Workflow: &WorkflowTemplate{
				Name:        "Pick the next ticket from the queue and run QA checks",
				Description: "Takes the next ticket and checks what it asks for.",
				Messages: []TemplateMessage{
					{"Pick the next ticket",
						"Pick the next ticket from the queue with claim_next_ticket. When there is none, report " +
							"nothing_to_do with report_result and answer with " + QueueEmpty + " and nothing else."},
					{"Run QA checks",
						"Run the QA checks that the ticket asks for. Create a ticket with create_ticket for each " +
							"defect that has none yet. Report what came of it with report_result, and set the ticket " +
							"to done with update_ticket. If you had no ticket, answer with " + QueueEmpty + " again."},
				},
			},
		},
	}
}

// TemplateByKey finds a template.
func TemplateByKey(key string) (Template, bool) {
	for _, t := range Templates() {
		if t.Key == key {
			return t, true
		}
	}
	return Template{}, false
}

// TemplateWorkflow finds the workflow of a template in a workspace, or one for all workspaces, by its name. It returns
// zero when there is none.
func (s Definitions) TemplateWorkflow(ctx context.Context, actor account.Actor, workspace uuid.UUID,
	w *WorkflowTemplate) (uuid.UUID, error) {
	if err := account.RequireMember(ctx, s.DB, actor, workspace); err != nil {
		return uuid.Nil, err
	}
	return db.WorkflowNamed(ctx, s.DB, workspace, w.Name)
}
