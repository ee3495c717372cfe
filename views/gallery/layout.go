package gallery

import "carillon/views"

func layoutSpecimens() []Specimen {
	return []Specimen{
		{Name: "inbox-part", Body: views.InboxPart(3, 1, false)},
		{Name: "page-error", Page: views.ErrorPage(samplePage("Not found", ""), "Not found",
			"There is nothing here, or you may not see it.")},
		{Name: "page-error-blank", Page: views.BlankErrorPage(views.Page{Title: "Not found"}, "Not found",
			"There is nothing here.")},
	}
}
