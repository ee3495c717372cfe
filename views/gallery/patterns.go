package gallery

import "carillon/views"

func patternSpecimens() []Specimen {
	return []Specimen{
		{Name: "starts", Body: views.Starts(views.Patterns())},
	}
}
