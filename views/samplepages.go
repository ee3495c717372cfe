package views

func pageSpecimens() []Specimen { return nil }
