package settings

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
	"carillon/views/help"
)

// rolePages are the pages of roles and their permissions.
type rolePages struct{ *Pages }

func (s rolePages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	list, err := s.Accounts.Roles(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.RolesPage{Matrix: matrix(list)}
	return s.withSettings(w, r, actor, "Roles", func(page views.Page) error {
		return s.Show(w, r, views.Roles(page, p))
	})
}

// permissions explains the permissions to whoever is signed in; of the roles it shows those that every installation
// has.
func (s rolePages) permissions(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var list []db.RoleRow
	for _, b := range account.BuiltIn() {
		list = append(list, db.RoleRow{Role: db.Role{Name: b.Name, Permissions: b.Permissions}})
	}
	p := views.PermissionsPage{Matrix: matrix(list)}
	for _, of := range account.Permissions {
		if actor.Can(of.Permission) {
			p.Yours = append(p.Yours, string(of.Permission))
		}
	}
	manual, _ := help.Find("permissions")
	return s.With(w, r, actor, "", "Permissions", func(page views.Page) error {
		return s.Show(w, r, views.Permissions(page, manual.Document, p))
	})
}

// matrix is what each of some roles may do.
func matrix(roles []db.RoleRow) views.Matrix {
	var m views.Matrix
	for _, r := range roles {
		m.Roles = append(m.Roles, views.RoleItem{
			ID: r.ID.String(), Name: r.Name, BuiltIn: r.Key != "", People: int(r.People),
		})
	}
	for _, p := range account.Permissions {
		row := views.MatrixRow{
			Permission: string(p.Permission), Capability: p.Capability, Implies: implied(p.Permission, p.Implies),
		}
		for _, r := range roles {
			grant := views.NotGranted
			switch {
			case slices.Contains(r.Permissions, string(p.Permission)):
				grant = views.Granted
			case account.Grants(r.Permissions, p.Permission):
				grant = views.Implied
			}
			row.Grants = append(row.Grants, grant)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// implied names what comes with a permission.
func implied(p account.Permission, with []account.Permission) []string {
	if p == account.Admin {
		return []string{"all others"}
	}
	var list []string
	for _, i := range with {
		list = append(list, string(i))
	}
	return list
}

func roleInput(r *http.Request) account.RoleInput {
	version, _ := strconv.ParseInt(r.PostFormValue("version"), 10, 64)
	return account.RoleInput{Name: r.PostFormValue("name"), Permissions: r.PostForm["permissions"], Version: version}
}

func (s rolePages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageUsers) {
		return fault.ErrForbidden
	}
	in := account.RoleInput{}
	if from := form.OptionalID(r.FormValue("from")); from != uuid.Nil {
		d, err := s.Accounts.Role(r.Context(), actor, from)
		if err != nil {
			return err
		}
		in.Name = "Copy of " + d.Name
		for _, p := range account.Permissions { // written out, since what is included may be taken away from the copy
			if p.Permission != account.Admin && account.Grants(d.Permissions, p.Permission) && actor.Can(p.Permission) {
				in.Permissions = append(in.Permissions, string(p.Permission))
			}
		}
	}
	return s.showOne(w, r, actor, http.StatusOK, nil, in, nil)
}

func (s rolePages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	d, err := s.named(r, actor)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, http.StatusOK, d, account.RoleInput{
		Name: d.Name, Permissions: d.Permissions, Version: d.Version,
	}, nil)
}

func (s rolePages) named(r *http.Request, actor account.Actor) (*account.RoleDetail, error) {
	role, err := page.ID(r)
	if err != nil {
		return nil, err
	}
	return s.Accounts.Role(r.Context(), actor, role)
}

// showOne shows the form of a role: nil is a new one.
func (s rolePages) showOne(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	d *account.RoleDetail, in account.RoleInput, bad fault.Invalid) error {
	f, title := views.NewRoleForm(), "New role"
	f.Name.Value, f.Name.Error, f.Error, f.Problem = in.Name, bad["name"], bad["permissions"], bad["role"]
	f.Version = strconv.FormatInt(in.Version, 10)
	if d != nil {
		f.ID, f.Was, f.BuiltIn, title = d.ID.String(), d.Name, d.BuiltIn(), d.Name
		switch {
		case d.BuiltIn():
			f.Why = "This role is built in and cannot be changed. You can change a copy of it."
		case d.Beyond:
			f.Why = "This role has permissions that you do not have, so you cannot change it."
		}
		for _, u := range d.People {
			f.People = append(f.People, views.Link{Text: u.Name, URL: views.UserURL(u.ID.String())})
		}
	}
	for _, p := range account.Permissions {
		if p.Permission == account.Admin && !slices.Contains(in.Permissions, string(account.Admin)) {
			continue // the role Administrator's alone
		}
		box := views.PermissionBox{
			Permission: string(p.Permission), Capability: p.Capability, Implies: implied(p.Permission, p.Implies),
			Checked: slices.Contains(in.Permissions, string(p.Permission)),
		}
		if !actor.Can(p.Permission) {
			box.Off = "You do not have this permission, so you cannot grant it."
		}
		f.Boxes = append(f.Boxes, box)
	}
	return s.withSettings(w, r, actor, title, func(page views.Page) error {
		s.Render(w, r, status, views.Role(page, f))
		return nil
	})
}

func (s rolePages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := roleInput(r)
	role, err := s.Accounts.CreateRole(r.Context(), actor, in)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.showOne(w, r, actor, http.StatusUnprocessableEntity, nil, in, bad)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.RoleURL(role.ID.String()), "Role added.")
}

func (s rolePages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	d, err := s.named(r, actor)
	if err != nil {
		return err
	}
	err = s.Accounts.UpdateRole(r.Context(), actor, d.ID, roleInput(r))
	bad, status, err := s.Again(r, actor, s.one, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.showOne(w, r, actor, status, d, roleInput(r), bad)
	}
	return s.Redirect(w, r, views.RoleURL(d.ID.String()), "Saved.")
}

func (s rolePages) delete(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	d, err := s.named(r, actor)
	if err != nil {
		return err
	}
	err = s.Accounts.DeleteRole(r.Context(), actor, d.ID)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		in := account.RoleInput{Name: d.Name, Permissions: d.Permissions, Version: d.Version}
		return s.showOne(w, r, actor, http.StatusUnprocessableEntity, d, in, bad)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.RolesURL(), "Deleted.")
}
