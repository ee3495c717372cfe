package account

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/fault"
)

func TestPeopleHaveNamesThatCanBeRead(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	for _, name := range []string{"\u202eadA", "\u200b", "\u3164"} {
		_, err := s.Add(t.Context(), nil, NewUser{
			Email: "mira@example.com", Name: name, Password: strings.Repeat("x", 10), Role: RoleMember,
		})
		var bad fault.Invalid
		if !errors.As(err, &bad) || bad["name"] == "" {
			t.Errorf("%+q: got %v; want the name refused", name, err)
		}
	}
}

func TestMarksOfDirectionThatArePastedAlongAreDroppedWhoeverTypesTheName(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	admin := person(t, s, "ada@example.com", RoleAdministrator)
	u, err := s.Add(t.Context(), nil, NewUser{
		Email: "mira@example.com", Name: "Mira", Password: strings.Repeat("x", 10), Role: RoleMember,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdatePerson(t.Context(), admin, u.ID, u.Email, "\u200f\u05de\u05d9\u05e8\u05d4\u200f",
		""); err != nil {
		t.Fatal(err)
	}
	now, err := s.Person(t.Context(), admin, u.ID)
	if err != nil || now.Name != "\u05de\u05d9\u05e8\u05d4" {
		t.Errorf("the name is %+q, %v; want it without the marks", now.Name, err)
	}
}
