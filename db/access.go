package db

import (
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Access says which automations, executions and sessions a person may see.
type Access struct {
	User       uuid.UUID
	Own        bool      // their own
	All        bool      // also other people's
	Everywhere bool      // also of workspaces that the person is not a member of
	Only       uuid.UUID // of this workspace alone, member or not; zero: no limit
}

// within limits a query to the workspaces in which a person may see something.
func (v Access) within(sel *bun.SelectQuery, table string) *bun.SelectQuery {
	switch {
	case v.Only != uuid.Nil:
		return sel.Where("?.workspace_id = ?", bun.Ident(table), v.Only)
	case v.Everywhere:
		return sel
	}
	return sel.Where("?.workspace_id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)",
		bun.Ident(table), v.User)
}

// narrow limits a query to what a person may see: columns name the workspace and the owner.
func (v Access) narrow(sel *bun.SelectQuery, workspace, owner string) *bun.SelectQuery {
	sel = v.within(sel, workspace)
	switch {
	case v.All:
	case v.Own:
		sel = sel.Where("?.? = ?", bun.Ident(workspace), bun.Ident(owner), v.User)
	default:
		sel = sel.Where("false")
	}
	return sel
}
