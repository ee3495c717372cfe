package agent

// Obedience describes what a provider's program takes from the files of a repository, as texts for all pages.
type Obedience struct {
	Reads string   // what it reads from the repository, as sentences
	Shut  string   // what is kept from it with and without a sandbox, as sentences; may be empty
	Obeys []string // files that it would obey: hidden in a sandbox; without one a turn is refused if they exist
	Looks string   // what enforces a read-only turn, as a sentence
}

const (
	plans  = "It runs in its mode plan."
	denied = "Its tools for editing and for commands are denied."
	pinned = "Variables of .env that steer programs, such as addresses of models and proxies, are empty."
	given  = "AGENTS.md of the root, at most 64 KiB, handed over by Carillon."
)

// obedience has the Obedience of the catalogue's programs, by id.
var obedience = map[string]Obedience{
	"claude": {
		Reads: "CLAUDE.md of the root, at most 64 KiB, handed over by Carillon. What it imports by @ is not.",
		Shut:  ".claude and .mcp.json are not read: only the settings of the server’s user are, and no hook runs.",
		Looks: "It is refused every tool that is not allowed beforehand.",
	},
	"codex": {
		Reads: "AGENTS.md, by itself.",
		Shut:  ".codex is not read, since no folder is trusted.",
		Looks: "It runs commands in a sandbox of its own without writing.",
	},
	"opencode": {Reads: given, Looks: denied},
	"kilo":     {Reads: given, Looks: denied},
	"gemini":   {Reads: "GEMINI.md, by itself. Of .env what is the project’s own.", Shut: pinned, Looks: plans},
	"qwen": {
		Reads: "QWEN.md and AGENTS.md, by itself. Of .env what is the project’s own.", Shut: pinned, Looks: plans,
	},
	"copilot": {
		Reads: "AGENTS.md and .github/copilot-instructions.md, by itself.",
		Shut:  ".mcp.json and .vscode/mcp.json are not read.",
		Looks: "It asks before each change, and is refused.",
	},
}

// Obedience describes what the provider's program takes from a repository.
func (p Provider) Obedience() Obedience {
	o, known := obedience[p.ID]
	o.Obeys = p.Obeys
	if known {
		return o
	}
	o.Reads = "What its program reads."
	if len(p.Obeys) == 0 {
		o.Shut = "Nothing is kept from it. Use it with repositories that only people push to whom you trust."
	}
	switch {
	case p.ReadMode != "":
		o.Looks = "It runs in its mode " + p.ReadMode + "."
	case p.CanBeReadOnly():
		o.Looks = "It asks before each change, and is refused."
	default:
		o.Looks = "The sandbox. Without one the turn is refused."
	}
	return o
}
