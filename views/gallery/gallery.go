// Package gallery has every component of the views in each of its states, and every page, with sample data. Tests
// render it into golden files, and /gallery shows it in development.
package gallery

import (
	"slices"
	"time"

	"carillon/views"

	"github.com/a-h/templ"
)

// Specimen is a component or a page in one state. Exactly one of Body and Page is set: Body stands
// within Page, Page is a document of its own.
type Specimen struct {
	Name string // unique, fit for a file name: "status-failed"
	Body templ.Component
	Page templ.Component
}

// now is the time in the gallery: a Monday noon, in a zone with an offset.
var now = time.Date(2026, 11, 23, 11, 46, 10, 0, berlin())

// berlin has a name and an offset; the gallery must look the same where no zone database is installed.
func berlin() *time.Location { return time.FixedZone("CET", 3600) }

func ago(d time.Duration) time.Time { return now.Add(-d) }

// Specimens lists every component in each of its states, and every page.
func Specimens() []Specimen {
	return slices.Concat(
		componentSpecimens(), partSpecimens(), patternSpecimens(), layoutSpecimens(), fieldSpecimens(),
		scheduleSpecimens(), transcriptSpecimens(),

		automationListSpecimens(), automationSpecimens(), editorSpecimens(), executionSpecimens(), sessionSpecimens(),
		workspaceSpecimens(), ticketSpecimens(), botSpecimens(), workflowSpecimens(), inboxSpecimens(),
		overviewSpecimens(),

		loginSpecimens(), profileSpecimens(), tokenSpecimens(), peopleSpecimens(), roleSpecimens(), auditSpecimens(),
		providerSpecimens(), isolationSpecimens(), toggleSpecimens(), usageSpecimens(), helpSpecimens(),
	)
}

func samplePage(title, section string) views.Page {
	return views.Page{
		Title: title, Section: section, Path: "/" + section, User: views.User{
			Name: "Mira Okafor", Initials: "MO", Role: "Admin",
		}, Unread: 4, Live: 2, Nav: views.AllNav,
		Workspaces: []views.Choice{{Value: "w1", Label: "payments-api"}, {Value: "w2", Label: "storefront"}},
		Workspace:  "w1",
	}
}
