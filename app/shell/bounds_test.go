package shell

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// mostStack is the stack that reading a script may need. A goroutine with more than twice as much ends the process.
const mostStack = 256 << 20

// worst are scripts that are as large as a script may be and as hard to read as one can make them: text of one piece,
// repeated.
func worst() map[string]string {
	list := map[string]string{}
	for _, shape := range []struct{ begin, piece string }{
		{"", "(+"}, {"", "((+"}, {"((", "("}, {"$((", "("}, {"", "$(("}, {"", "("}, {"", "{ "}, {"", "$("}, {"", "<("},
		{"", "${a:-"}, {"", "${a["}, {"", "$["}, {"", "a["}, {"", `"$(`}, {"", "`"},
		{"", `"$(")"`}, {"((", `")"(`}, {"$((", "~"}, {"$((", "- "}, {"$((", "-~"}, {"$((", "!\n"}, {"$((", "a?"},
		{"$((", "a="}, {"$((", "a**"}, {"$((", "1+"},
		{"$((", "a["}, {"let ", "a?"}, {"let ", "a="}, {"[[ ", "! "}, {"[[ ", "( "}, {"[[ ", "a && "}, {"[[ ", "a&&! "},
		{"", "if "}, {"", "while "}, {"", ">a if "}, {"", "time "}, {"", "coproc "}, {"", "coproc a "},
		{"", "function a "}, {"", "a()"}, {"", "case a in a) "},
		{"", "for a in a; do "}, {"", "for ((;;)){ "}, {"", "if a; then b; elif "}, {"", "! "}, {"", "a|"}, {"", "a&&"},
		{"", "a;"}, {"", "a\n"}, {"", "a #\n"},
		{"", "{{a}}|"}, {"", "{{a}} "}, {"x ", "{{a}} "}, {"bash ", "{{a}} "}, {"find -exec ", "-exec {{a}} "},
		{"x ", "bash {{a}} "}, {"sudo ", "sudo {{a}} "},
		{"", "# {{a}}\n"}, {"", "'{{a}}' "}, {"echo '", "{{a}}"}, {"", `\{{a}} `}, {"declare ", "x={{a}} "},
		{"", "$PARAM_a "}, {"((", "PARAM_a+"}, {"{{a}}", "|sudo "},
		{"", "<<a "}, {"", "<<a\n"}, {"", "cat <<a\n{{a}}\na\n"}, {"", "{{"}, {"", "{{a.b-c}}{{a_b.c}}"}, {"", "'"},
		{"", "a="}, {"", "a=("}, {"", "@(a|"}, {"", "x}\n"},
		{"", "1>&2 "}, {"", "\\\n"}, {"", "$"}, {"", "~"}, {"", "?("},
	} {
		n := (MaxScript - len(shape.begin)) / len(shape.piece)
		list[shape.begin+shape.piece+" many times"] = shape.begin + strings.Repeat(shape.piece, n)
		few := maxOpen - 2
		list[shape.begin+shape.piece+" a few times"] = strings.Repeat(shape.begin+strings.Repeat(shape.piece, few)+"\n",
			max(1, maxOpenings/few/2))
	}
	return list
}

func TestTheWorstScriptsAreReadOrRefusedAtABoundedCost(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(mostStack))
	for name, script := range worst() {
		problems := Check(script)
		if len(problems) > maxProblems {
			t.Errorf("%s: %d problems", name, len(problems))
		}
		if strings.HasSuffix(name, "many times") {
			continue
		}
		if got := Dashed(script, []string{"a-b"}); got != script {
			t.Errorf("%s became %d bytes", name, len(got))
		}
	}
}

func TestAScriptOfBracketsIsRefusedWithASentenceAndAPlace(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"true\n" + strings.Repeat("(+", 900<<10):               "at most 320 fit",
		"true\n" + strings.Repeat("$((", 60<<10):               "nested too deeply",
		"true\n" + strings.Repeat(`$((")"")"+`, 20<<10):        "too many brackets",
		"true\n$((" + strings.Repeat("~", 200<<10) + "1))":     "nested too deeply",
		"true\n" + strings.Repeat("if true; then ", 20<<10):    "nested too deeply",
		"true\n" + strings.Repeat("echo {{a}} {{b}}\n", 12000): "too many brackets",
	} {
		problems := Check(script)
		if len(problems) != 1 || !strings.Contains(problems[0].Text, want) {
			t.Errorf("%.20s has the problems %+v; want %s", script, problems, want)
		}
		if _, _, err := Compile(script); err == nil {
			t.Errorf("%.20s was compiled", script)
		}
	}
}

// Every door through which a script comes leads to the place that counts first.
func TestOnePlaceReadsScripts(t *testing.T) {
	t.Parallel()
	places := 0
	check := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), `"mvdan.cc/sh/`) && filepath.Base(filepath.Dir(path)) != "shell" {
			t.Errorf("%s reads scripts by itself", path)
		}
		places += strings.Count(string(text), "syntax.NewParser(")
		return err
	}
	for _, root := range []string{"../../app", "../../jobs", "../../db", "../../views"} {
		if err := filepath.WalkDir(root, check); err != nil {
			t.Fatal(err)
		}
	}
	if places != 1 {
		t.Errorf("the parser is called in %d places; want one", places)
	}
}

// What people write is far from the bounds.
func TestLongScriptsOfPeopleAreAccepted(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]string{
		"commands": "if [ -n \"$x\" ]; then\n  for i in 1 2 3; do echo \"$i ${x:-none}\" | grep -c a || true; " +
			"done\nfi\n",
		"prose": "# For a while, if it does not do what it is to do (see above), wait until the time has " +
			"come; then select a case.\n",
		"prose in text": "cat <<'END'\nif this is read for the first time, while others look, do not! (really)\n- " +
			"for each case, function or time\nEND\n",
		"JSON":   `echo '{"a": [1, 2, {"b": "c-d+e"}], "url": "https://example.com/a/b/c?d=e&f=g"}'` + "\n",
		"tables": "# | --- | --- | --- | ---------------- | ===== |\n",
	} {
		script := strings.Repeat(piece, 64<<10/len(piece))
		if problems := Check(script); len(problems) > 0 {
			t.Errorf("%s: %+v", name, problems[0])
		}
	}
}

// FuzzWorst makes scripts as large as they may be of two pieces, and reads them.
func FuzzWorst(f *testing.F) {
	for _, piece := range []string{"(+", "$((", "~", "a?", "if ", "a()", "{{a}}|", `$((")"+`, "<<a "} {
		f.Add("", piece, "")
		f.Add("((", piece, "))")
	}
	f.Fuzz(func(t *testing.T, begin, piece, end string) {
		if piece == "" || len(begin)+len(piece)+len(end) > 1<<10 {
			return
		}
		debug.SetMaxStack(mostStack)
		script := begin + strings.Repeat(piece, (MaxScript-len(begin)-len(end))/len(piece)) + end
		if problems := Check(script); len(problems) > maxProblems {
			t.Errorf("%d problems", len(problems))
		}
		Check(begin + strings.Repeat(piece, maxOpen-1) + end)
	})
}
