package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/manifest"
	"carillon/db"
)

// inventory is what somebody sees of workspaces, for a manifest.
type inventory struct {
	workspaces  []db.Workspace
	automations map[uuid.UUID]*db.Automation
	workflows   map[uuid.UUID]*db.Workflow
	bots        map[uuid.UUID]*db.Bot
	things      []thing // all of these, automations first, each kind by name
}

// thing is an automation, a workflow or a bot by what it is told by.
type thing struct {
	kind      manifest.Kind
	id        uuid.UUID
	workspace uuid.UUID // zero: for all
	name      string
	version   int64
}

// read reads what the actor sees. Only is the names of the workspaces whose automations are wanted; nil: all.
func (v *inventory) read(ctx context.Context, q bun.IDB, actor account.Actor, only []string) error {
	member := actor.ID
	if actor.Can(account.Admin) {
		member = uuid.Nil
	}
	var err error
	if v.workspaces, err = db.Workspaces(ctx, q, member); err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, w := range v.workspaces {
		if only == nil || slices.ContainsFunc(only, func(name string) bool { return strings.EqualFold(name, w.Name) }) {
			ids = append(ids, w.ID)
		}
	}
	automations, err := db.AutomationsOf(ctx, q, actor.Access(), ids)
	if err != nil {
		return err
	}
	workflows, err := db.AllWorkflows(ctx, q, actor.Access())
	if err != nil {
		return err
	}
	bots, err := db.AllBots(ctx, q, actor.Access())
	if err != nil {
		return err
	}
	v.automations, v.workflows, v.bots = map[uuid.UUID]*db.Automation{}, map[uuid.UUID]*db.Workflow{},
		map[uuid.UUID]*db.Bot{}
	for i := range automations {
		v.put(&automations[i])
	}
	for i := range workflows {
		v.put(&workflows[i])
	}
	for i := range bots {
		v.put(&bots[i])
	}
	return nil
}

// put takes in a row, in place of the one of the same id.
func (v *inventory) put(row any) {
	var k thing
	switch row := row.(type) {
	case *db.Automation:
		v.automations[row.ID], k = row, thing{manifest.KindAutomation, row.ID, row.WorkspaceID, row.Name, row.Version}
	case *db.Workflow:
		v.workflows[row.ID], k = row, thing{manifest.KindWorkflow, row.ID, row.WorkspaceID, row.Name, row.Version}
	case *db.Bot:
		v.bots[row.ID], k = row, thing{manifest.KindBot, row.ID, row.WorkspaceID, row.Name, row.Version}
	}
	if i := slices.IndexFunc(v.things, func(o thing) bool { return o.id == k.id }); i >= 0 {
		v.things[i] = k
		return
	}
	v.things = append(v.things, k)
}

// workspaceNamed finds a workspace by name, whatever its case: no two differ by that alone.
func (v *inventory) workspaceNamed(name string) (*db.Workspace, bool) {
	i := slices.IndexFunc(v.workspaces, func(w db.Workspace) bool {
		return strings.EqualFold(w.Name, strings.TrimSpace(name))
	})
	if i < 0 {
		return nil, false
	}
	return &v.workspaces[i], true
}

func (v *inventory) workspaceName(id uuid.UUID) string {
	for _, w := range v.workspaces {
		if w.ID == id {
			return w.Name
		}
	}
	return ""
}

// of lists what is of a kind, a workspace and a name.
func (v *inventory) of(kind manifest.Kind, workspace uuid.UUID, name string) []thing {
	var list []thing
	for _, k := range v.things {
		if k.kind == kind && k.workspace == workspace && k.name == name {
			list = append(list, k)
		}
	}
	return list
}

// candidates are what a name may mean in a workspace: what is its own, else what is for all.
func (v *inventory) candidates(kind manifest.Kind, workspace uuid.UUID, name string) []thing {
	if own := v.of(kind, workspace, name); len(own) > 0 {
		return own
	}
	return v.of(kind, uuid.Nil, name)
}

// reference is how an automation of a workspace names a workflow or a bot: by its name, or, where that does not tell,
// its id.
func (v *inventory) reference(kind manifest.Kind, workspace, id uuid.UUID) string {
	for _, k := range v.things {
		if k.id == id && k.kind == kind {
			if found := v.candidates(kind, workspace, k.name); len(found) == 1 && found[0].id == id {
				return k.name
			}
		}
	}
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// namedWorkspaces are the names of the workspaces in documents.
func (m *run) namedWorkspaces(documents []*manifest.Document) []string {
	list := []string{}
	for _, d := range documents {
		if _, name, _ := d.Identity(); name != "" {
			list = append(list, strings.TrimSpace(name))
		}
	}
	return list
}

// match finds what each document is about, and refuses two about the same.
func (m *run) match(documents []*manifest.Document) {
	type key struct {
		kind      manifest.Kind
		workspace uuid.UUID
		name      string
	}
	byName, byRow := map[key]*entry{}, map[uuid.UUID]*entry{}
	for _, d := range documents {
		id, workspace, name := d.Identity()
		e := &entry{doc: d, name: strings.TrimSpace(name)}
		m.entries = append(m.entries, e)
		if w, ok := m.workspaceNamed(workspace); ok {
			e.workspace = w.ID
		} else if strings.TrimSpace(workspace) != "" {
			m.wrong(e, "workspace", "This workspace does not exist, or you are not a member of it.")
			e.nowhere = true
			continue
		} else if d.Kind == manifest.KindAutomation {
			m.wrong(e, "workspace", "Name the workspace.")
			e.nowhere = true
			continue
		}
		m.find(e, id)
		same := byName[key{d.Kind, e.workspace, e.name}]
		if e.row != uuid.Nil || id != "" {
			same = byRow[e.row]
		}
		if same != nil && e.name != "" && !e.failed {
			m.wrong(e, "name", fmt.Sprintf("This is there twice: also in %s, line %d.", same.doc.File, same.doc.Line))
			continue
		}
		if byName[key{d.Kind, e.workspace, e.name}] = e; e.row != uuid.Nil {
			byRow[e.row] = e
		}
	}
}

// noteHidden notes for the audit log when documents name a workspace that there is and that the actor does not see.
func (m *run) noteHidden(ctx context.Context, named []string) error {
	hidden := slices.DeleteFunc(slices.Clone(named), func(name string) bool {
		_, ok := m.workspaceNamed(name)
		return ok
	})
	if len(hidden) == 0 {
		return nil
	}
	there, err := db.AnyWorkspaceNamed(ctx, m.tx, hidden)
	if there {
		account.RecordRefusal(ctx, m.actor, "is no member of the workspace")
	}
	return err
}

// find finds the row of a document, by its id or by its name.
func (m *run) find(e *entry, id string) {
	what := strings.ToLower(string(e.doc.Kind))
	if id == "" {
		found := m.of(e.doc.Kind, e.workspace, e.name)
		if len(found) > 1 {
			ids := make([]string, len(found))
			for i, k := range found {
				ids[i] = k.id.String()
			}
			m.wrong(e, "name", fmt.Sprintf("There are %d of this name. Say with id which one is meant: %s.", len(found),
				strings.Join(ids, ", ")))
		} else if len(found) == 1 {
			e.row = found[0].id
		}
		return
	}
	parsed, err := uuid.Parse(id)
	if i := slices.IndexFunc(m.things, func(k thing) bool {
		return k.id == parsed && k.kind == e.doc.Kind
	}); err == nil && i >= 0 {
		e.row = parsed
		return
	}
	m.wrong(e, "id",
		fmt.Sprintf(
			"There is no %s of this id in the workspaces that these files name. Leave the id out to make a new one.",
			what))
}

// prune finds what the files lack, within the workspaces that they name, and the actor may change.
func (m *run) prune() {
	m.pruned = map[uuid.UUID]bool{}
	if !m.in.Prune {
		return
	}
	named, kept := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for _, e := range m.entries {
		named[e.workspace], kept[e.row] = true, true
	}
	delete(named, uuid.Nil) // what is for all workspaces belongs to none of them
	for _, k := range m.things {
		may := m.actor.Can(account.ManageWorkflows)
		switch k.kind {
		case manifest.KindAutomation:
			may = automation.CanManage(m.actor, m.automations[k.id])
		case manifest.KindBot:
			may = m.actor.Can(account.ManageBots)
		}
		m.pruned[k.id] = named[k.workspace] && !kept[k.id] && may
	}
}

// referred finds what an automation names. It returns zero for nothing, and for what it has noted as a mistake.
func (m *run) referred(e *entry, kind manifest.Kind, field, name string) uuid.UUID {
	name = strings.TrimSpace(name)
	if name == "" {
		return uuid.Nil
	}
	what := strings.ToLower(string(kind))
	found := m.candidates(kind, e.workspace, name)
	if id, err := uuid.Parse(name); err == nil && len(found) == 0 {
		i := slices.IndexFunc(m.things, func(k thing) bool { return k.id == id && k.kind == kind })
		if i >= 0 {
			found = m.things[i : i+1]
		}
	}
	switch {
	case len(found) > 1:
		m.wrong(e, field, fmt.Sprintf("There are %d of this name. Write the id of the %s that is meant: %s or %s.",
			len(found), what, found[0].id, found[1].id))
	case len(found) == 1 && m.pruned[found[0].id]:
		m.wrong(e, field, fmt.Sprintf("This %s is not in the files, so it would be deleted with what else they lack.",
			what))
	case len(found) == 1:
		return found[0].id
	case slices.ContainsFunc(m.entries, func(o *entry) bool {
		return o.failed && o.doc.Kind == kind && o.name == name
	}):
		e.failed = true // what is wrong is told where it is
		e.mistaken = addField(e.mistaken, field)
	default:
		m.wrong(e, field, fmt.Sprintf("There is no %s of this name, in this workspace or for all.", what))
	}
	return uuid.Nil
}

func addField(fields map[string]bool, field string) map[string]bool {
	if fields == nil {
		fields = map[string]bool{}
	}
	fields[field] = true
	return fields
}

// Export writes the automations, workflows and bots that the actor sees as a manifest: those of one workspace,
// by its name, or all with those that are for all workspaces. It returns *Refused for a workspace that the
// actor does not see.
func (s *Service) Export(ctx context.Context, actor account.Actor, workspace string) ([]byte, error) {
	var v inventory
	var only []string
	if workspace != "" {
		only = []string{workspace}
	}
	if err := v.read(ctx, s.DB, actor, only); err != nil {
		return nil, fault.Wrap(err, "export manifest")
	}
	var within uuid.UUID
	if workspace != "" {
		w, ok := v.workspaceNamed(workspace)
		if !ok {
			there, err := db.AnyWorkspaceNamed(ctx, s.DB, only)
			if there {
				account.RecordRefusal(ctx, actor, "is no member of the workspace")
			}
			if err != nil {
				return nil, fault.Wrap(err, "export manifest")
			}
			return nil, &Refused{Mistakes: manifest.Mistakes{{
				Field: "workspace", Text: "This workspace does not exist, or you are not a member of it.",
			}}}
		}
		within = w.ID
	}
	things := slices.Clone(v.things)
	order := []manifest.Kind{manifest.KindBot, manifest.KindWorkflow, manifest.KindAutomation}
	slices.SortStableFunc(things, func(a, b thing) int {
		if a.workspace != b.workspace {
			return strings.Compare(strings.ToLower(v.workspaceName(a.workspace)),
				strings.ToLower(v.workspaceName(b.workspace)))
		}
		return slices.Index(order, a.kind) - slices.Index(order, b.kind)
	})
	var list []*manifest.Document
	var notes []map[string]string
	for _, k := range things {
		if within != uuid.Nil && k.workspace != within {
			continue
		}
		d := &manifest.Document{Kind: k.kind}
		id := ""
		if len(v.of(k.kind, k.workspace, k.name)) > 1 {
			id = k.id.String()
		}
		note := map[string]string{}
		switch k.kind {
		case manifest.KindBot:
			want := v.botSpec(v.bots[k.id])
			want.ID, d.Spec = id, want
		case manifest.KindWorkflow:
			wf := v.workflows[k.id]
			want := v.workflowSpec(wf)
			want.ID, d.Spec = id, want
			for i, p := range wf.Parameters {
				if p.Type == db.SecretParameter && p.Default != "" {
					note[fmt.Sprintf("parameters[%d].type", i)] = "its default is not exported"
				}
			}
		case manifest.KindAutomation:
			a := v.automations[k.id]
			want := v.automationSpec(a)
			want.ID, d.Spec = id, want
			if !a.Enabled {
				want.Enabled = &a.Enabled
			}
			if a.SignatureSealed != nil {
				note["sender"] = "its secret is not exported"
			}
			if secrets := v.secretsOf(a); len(secrets) > 0 {
				note["workflow"] = "secret values are not exported: " + strings.Join(secrets, ", ")
			}
		}
		list, notes = append(list, d), append(notes, note)
	}
	return manifest.Write(list, notes)
}
