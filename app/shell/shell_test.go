package shell

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestPlaceholdersBecomeVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script, want string
		uses               []string
	}{
		{"in double quotes", `echo "{{name}}"`, `echo "${PARAM_name}"`, []string{"name"}},
		{"with blanks inside", `echo {{ name }} {{	x}}`, `echo "${PARAM_name}" "${PARAM_x}"`, []string{"name", "x"}},
		{"dotted", `echo "{{pull_request.title}}"`, `echo "${PARAM_pull_request_title}"`,
			[]string{"pull_request.title"}},
		{"odd names", `echo "{{X-Event}} {{1}}"`, `echo "${PARAM_X_Event} ${PARAM_1}"`, []string{"X-Event", "1"}},
		{"each use once", `echo {{a}} {{b}} {{a}}`, `echo "${PARAM_a}" "${PARAM_b}" "${PARAM_a}"`, []string{"a", "b"}},
		{"variables read directly", `echo $PARAM_x ${PARAM_y:-none} {{z}}`,
			`echo $PARAM_x ${PARAM_y:-none} "${PARAM_z}"`, []string{"x", "y", "z"}},
		{"variables read by another program", `python3 -c 'import os; print(os.environ["PARAM_x"])'`,
			`python3 -c 'import os; print(os.environ["PARAM_x"])'`, []string{"x"}},
		{"a variable and a placeholder of the same value", `echo {{a.b}} $PARAM_a_b`, `echo "${PARAM_a_b}" $PARAM_a_b`,
			[]string{"a.b"}},
		{"not what the script sets itself", `PARAM_x=1; echo $PARAM_x`, `PARAM_x=1; echo $PARAM_x`, nil},
		{"in a comment", "# about {{name}}\ntrue", "# about ${PARAM_name}\ntrue", []string{"name"}},
		{"in a here-document", "cat <<EOF\n{{name}}\nEOF", "cat <<EOF\n${PARAM_name}\nEOF", []string{"name"}},
		{"other programs' braces", `docker ps --format '{{.Names}} {{json .}}'`,
			`docker ps --format '{{.Names}} {{json .}}'`, nil},
		{"Windows line ends", "echo a\r\necho b\r\n", "echo a\necho b\n", nil},
	} {
		got, uses, err := Compile(tt.script)
		if err != nil || got != tt.want || !slices.Equal(uses, tt.uses) {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", tt.name, got, uses, err, tt.want, tt.uses)
		}
	}
}

func TestSafePlacesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		``,
		`echo {{x}}`,
		`git commit -m "Update {{x}}" -- "{{file}}"`,
		`curl -sS "https://example.com/{{x}}?q={{ y }}" -d "{{body}}"`,
		`x="{{name}}"; export Y="{{name}}"; local_name={{name}}; readonly Z="{{name}}"`,
		`if [ "{{x}}" = yes ]; then echo ok; fi`,
		`if [ "{{x}}" -eq 3 ]; then echo ok; fi`,
		`if [[ {{x}} == yes && "{{x}}" =~ ^a ]]; then echo ok; fi`,
		`case "{{x}}" in a) echo a ;; {{y}}) echo b ;; esac`,
		`for i in {{list}}; do echo "$i"; done`,
		`cat <<< "{{x}}"; cat > "{{x}}.txt"; sort < "in-{{x}}"`,
		"cat <<EOF\nHello {{x}}\nEOF",
		"cat <<-EOF\n\tHello {{x}}\n\tEOF",
		`echo "a '{{x}}' b"`,
		`echo "$(basename "{{x}}")"`,
		"echo \"`basename {{x}}`\"",
		`bash -c 'echo "$1"' _ "{{x}}"`,
		`bash script.sh "{{x}}"`,
		`bash -c "echo ${PARAM_x@Q}"`,
		`eval "$(printf 'x=%q' "{{x}}")"`,
		`ssh host "echo ${PARAM_x@Q}"`,
		`ssh "{{host}}" uptime`,
		`python3 script.py "{{x}}"`,
		`python3 -c 'import sys; print(sys.argv[1])' "{{x}}"`,
		`python3 script.py <<< "{{x}}"`,
		`echo "{{x}}" | python3 script.py`,
		`echo "{{x}}" | xargs bash -c 'echo "$@"' _`,
		`awk -v name="{{x}}" '{print name}' "{{file}}"`,
		`sed -n 1p "{{file}}"; sed -e 1d -- "{{file}}"`,
		`jq --arg v "{{x}}" '.a = $v' "{{file}}"`,
		`make deploy-{{x}}`,
		`./run-{{x}}.sh; env A="{{x}}" ./go "{{y}}"; timeout 5 cat "{{f}}"; sudo -u bob cat "{{f}}"`,
		`find . -name "{{x}}" -exec grep -l "{{y}}" {} +`,
		`trap 'echo "$PARAM_x"' EXIT`,
		`read -p "{{prompt}}" answer; printf '%s' "{{x}}"; printf -v out '%s' "{{x}}"`,
		`n="{{n}}"; [[ $n =~ ^[0-9]+$ ]] || exit 1; echo $((n + 1))`,
		`echo "${HOME:-{{x}}}" "${HOME//a/"{{x}}"}"`,
		`f() { echo "{{x}}"; }; f`,
		`echo $(( $(wc -l < "{{file}}") + 1 ))`,
		`diff <(sort "{{a}}") <(sort "{{b}}")`,
		`docker run --rm image "{{x}}"`,
		`psql -v value="{{x}}" -c "select :'value'"`,
	} {
		if problems := Check(script); len(problems) > 0 {
			t.Errorf("%s\n\trefused: %+v", script, problems)
		}
	}
}

func TestUnsafePlacesAreRefusedWithWhatToWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ script, want string }{
		{`echo '{{x}}'`, `does not expand between single quotes`},
		{`echo $'{{x}}'`, `does not expand between single quotes`},
		{`docker ps --format '{{range .Ports}}{{end}}'`, `{'{end}'}`},
		{"cat <<'EOF'\n{{x}}\nEOF", `write the end mark after << without quotes`},
		{"cat <<\\EOF\n{{x}}\nEOF", `write the end mark after << without quotes`},
		{"cat <<\"EOF\"\n{{x}}\nEOF", `write the end mark after << without quotes`},
		{"python3 <<'EOF'\nprint('{{x}}')\nEOF", `os.environ["PARAM_x"]`},
		{"python3 <<EOF\nprint('{{x}}')\nEOF", `os.environ["PARAM_x"]`},
		{"bash <<EOF\necho {{x}}\nEOF", `"$PARAM_x"`},
		{"bash -s <<< \"echo {{x}}\"", `"$PARAM_x"`},
		{"psql db <<EOF\nselect '{{x}}'\nEOF", `psql -v`},
		{`echo $(({{n}} + 1))`, `calculates`},
		{`echo $((PARAM_n + 1))`, `calculates`},
		{`((i += {{n}}))`, `calculates`},
		{`let "i = {{n}}"`, `calculates`},
		{`for ((i = 0; i < {{n}}; i++)); do :; done`, `calculates`},
		{`a[{{n}}]=1`, `calculates`},
		{`echo ${a[{{n}}]} ${b:{{n}}}`, `calculates`},
		{`[[ {{n}} -eq 3 ]]`, `use [ "{{n}}" -eq ... ]`},
		{`[[ 3 -lt "{{n}}" ]]`, `use [ "{{n}}" -lt ... ]`},
		{`[[ -v {{n}} ]]`, `use case`},
		{`test -v "{{n}}"`, `use case`},
		{`eval "{{x}}"`, `would be read as code by eval`},
		{`eval echo "$(echo {{x}})"`, `would be read as code by eval`},
		{`sh -c "echo {{x}}"`, `"$PARAM_x" there, with single quotes`},
		{`sh -c 'echo {{x}}'`, `write "$PARAM_x" there`},
		{`bash -lc "echo {{x}}"`, `by bash`},
		{`bash -euo pipefail -c "echo {{x}}"`, `by bash`},
		{`sudo -u bob bash -c "echo {{x}}"`, `by bash`},
		{`env A=1 timeout 5 sh -c "echo {{x}}"`, `by sh`},
		{`docker exec box sh -c "echo {{x}}"`, `by sh`},
		{`find . -exec sh -c "echo {{x}}" \;`, `by sh`},
		{`find . -exec sed -i "s/a/{{x}}/" {} +`, `by sed`},
		{`ls | xargs -I F sh -c "echo F {{x}}"`, `by sh`},
		{`/usr/bin/python3.11 -c "print('{{x}}')"`, `os.environ["PARAM_x"]`},
		{`echo "{{x}}" | bash`, `by bash`},
		{`cat <<EOF | ssh host bash -s
echo {{x}}
EOF`, `by bash`},
		{`curl "https://example.com/{{x}}" | sudo sh`, `by sh`},
		{`source "{{x}}"`, `by source`},
		{`. ./{{x}}`, `by .`},
		{`source <(echo "{{x}}")`, `by source`},
		{`bash "{{x}}"`, `by bash`},
		{`trap "echo {{x}}" EXIT`, `by trap`},
		{`perl -ne "print if /{{x}}/" file`, `$ENV{PARAM_x}`},
		{`ruby -e "puts '{{x}}'"`, `ENV["PARAM_x"]`},
		{`node --eval="f('{{x}}')"`, `process.env.PARAM_x`},
		{`awk "/{{x}}/ {print}" file`, `ENVIRON["PARAM_x"]`},
		{`awk -F, '{print "{{x}}"}' file`, `ENVIRON["PARAM_x"]`},
		{`sed "s/a/{{x}}/" file`, `by sed`},
		{`sed -i -e "s/a/{{x}}/" file`, `by sed`},
		{`jq ".a = \"{{x}}\"" file`, `env.PARAM_x`},
		{`make VERSION="{{x}}"`, `$$PARAM_x`},
		{`ssh host "echo {{x}}"`, `${PARAM_x@Q}`},
		{`{{x}} --help`, `choose the command`},
		{`"{{x}}"`, `choose the command`},
		{`sudo {{x}}`, `choose the command`},
		{`a=$({{x}})`, `choose the command`},
		{`PATH="{{x}}" ls`, `by the variable PATH`},
		{`export BASH_ENV={{x}}`, `by the variable BASH_ENV`},
		{`declare "{{x}}=1"`, `name a variable`},
		{`export "{{x}}"`, `name a variable`},
		{`declare -i n="{{x}}"`, `leave the option out`},
		{`read -r "{{x}}"`, `name a variable`},
		{`unset "{{x}}"`, `name a variable`},
		{`printf -v "{{x}}" %s a`, `name a variable`},
		{`echo "${!PARAM_x}"`, `choose a variable`},
		{`echo "${PARAM_x@P}"`, `@P runs commands`},
		{`echo "\{{x}}"`, `remove the backslash`},
		{`echo "${{ x }}"`, `without the dollar sign`},
		{`echo {{a.b}} {{a_b}}`, `{{a_b}} and {{a.b}} would be the same variable, PARAM_a_b`},
		{"echo \x00", `NUL`},
		{"echo \xff", `UTF-8`},
	} {
		problems := Check(tt.script)
		if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Text, tt.want) }) {
			t.Errorf("%s\n\tgot %+v; want a problem with %q", tt.script, problems, tt.want)
		}
		if _, _, err := Compile(tt.script); err == nil {
			t.Errorf("%s\n\tcompiled", tt.script)
		}
	}
}

func TestProblemsTellTheirPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script string
		want   []Problem
	}{
		{"echo ok\nif true; then\n", []Problem{{2, 1, "syntax error: `if <cond>` must be followed by `then`"}}},
		{"echo \"{{a}}\" \"{{long.name}}\" \"ü\" $(( {{b}} ))", []Problem{{1, 38, "calculates"}}},
		{"echo {{a}}\n  echo '{{b}}' '{{c}}'", []Problem{{2, 9, "{{b}} does not expand"},
			{2, 17, "{{c}} does not expand"}}},
		{"echo 'abc", []Problem{{1, 6, "syntax error"}}},
		{"for {{x}} in a; do :; done", []Problem{{1, 5, "syntax error"}}},
	} {
		got := Check(tt.script)
		if len(got) != len(tt.want) {
			t.Errorf("%q: got %+v; want %+v", tt.script, got, tt.want)
			continue
		}
		for i, want := range tt.want {
			if want.Text[0] == 's' {
				want.Text = "syntax error"
			}
			if got[i].Line != want.Line || got[i].Column != want.Column && want.Text != "syntax error" ||
				!strings.Contains(got[i].Text, want.Text) {
				t.Errorf("%q: got %+v; want %+v", tt.script, got[i], want)
			}
		}
	}
}

func TestVariableNamesAreValidAndPrefixed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a": "PARAM_a", "a.b": "PARAM_a_b", "ä": "PARAM___", "x y\n": "PARAM_x_y_", "": "PARAM_", "9": "PARAM_9",
	} {
		if got := Variable(name); got != want {
			t.Errorf("Variable(%q) is %q; want %q", name, got, want)
		}
	}
}

// What the checks accept must hold in bash itself: whatever the value, nothing but the script runs.
func TestAcceptedScriptsRunNothingOfAValue(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	scripts := []string{
		`echo {{x}}`, `echo "{{x}}"`, `if [ "{{x}}" -eq 3 ]; then echo; fi`, `[[ {{x}} == a* || {{x}} < b ]] || true`,
		`case "{{x}}" in {{x}}) echo ;; esac`,
		"cat <<EOF\n{{x}}\nEOF", `cat <<< "{{x}}"`, `bash -c 'echo "$1" $PARAM_x' _ "{{x}}"`,
		`bash -c "echo ${PARAM_x@Q}"`, `eval "$(printf 'y=%q' "{{x}}")"; echo "$y"`,
		`awk -v name="{{x}}" 'BEGIN {print name, ENVIRON["PARAM_x"]}'`,
		`export Y="{{x}}"; y={{x}}; echo "${y//a/"{{x}}"}"`,
		`for i in {{x}}; do echo "$i"; done`, `trap 'echo "$PARAM_x"' EXIT`,
		`printf -v out '%s' "{{x}}"; printf '%d' "{{x}}"`, `env A="{{x}}" true "{{x}}"`,
	}
	values := []string{"$(touch pwned)", "`touch pwned`", "a[$(touch pwned)]", "a[$(touch pwned)]=1", "';touch pwned;'",
		"\";touch pwned;\"", "\ntouch pwned\n", "|touch pwned", "<(touch pwned)", "x\nEOF\ntouch pwned"}
	for _, script := range scripts {
		compiled, _, err := Compile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			dir := t.TempDir()
			cmd := exec.Command(bash, "--norc", "-c", compiled)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "PARAM_x=" + value}
			_ = cmd.Run() // a script may fail; it must not run the value
			if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
				t.Errorf("%s ran the value %q", script, value)
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("echo '{{x}}' \"{{ y.z }}\" <<EOF\n{{a}}\nEOF\n")
	f.Add("sudo env -u x timeout 5 bash -euo pipefail -c \"{{x}}\" | find . -exec {{y}}")
	f.Add("{{x}}$(({{y}}))[[ {{z}} -eq 1 ]]")
	for _, piece := range []string{"(+", "$((", "$((~", "${a[", "if ", "time ", "a()", "`", "[[ ! ", "{{a}}|", "a?"} {
		f.Add(strings.Repeat(piece, maxOpen-2))
	}
	f.Fuzz(func(t *testing.T, script string) {
		compiled, uses, err := Compile(script)
		again, usesAgain, _ := Compile(script)
		if compiled != again || !reflect.DeepEqual(uses, usesAgain) {
			t.Error("not the same twice")
		}
		if err == nil && len(uses) == 0 && compiled != strings.ReplaceAll(script, "\r\n", "\n") {
			t.Errorf("%q became %q without a parameter", script, compiled)
		}
		for _, p := range Check(script) {
			if p.Line < 1 || p.Column < 1 || p.Text == "" {
				t.Errorf("problem without a place: %+v", p)
			}
		}
	})
}

// What bash does with a placeholder must not depend on whether its author thought of quotes.
func TestAPlaceholderIsOneWordLetterForLetter(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	for _, value := range []string{"a b", "*", "x d", "[a-z]*", "?", "", "  ", "~", "-n", "a\\b", "$(id)", "`id`", "'",
		"\"", "&", "a\tb", "{a,b}", "!x", "line\nline"} {
		for script, want := range map[string]string{
			`printf '<%s>' {{x}}`:                                      "<" + value + ">",
			`printf '<%s>' build/{{x}}.d`:                              "<build/" + value + ".d>",
			`printf '<%s>' {{x}}{{x}}`:                                 "<" + value + value + ">",
			`printf '<%s>' "in {{x}} quotes"`:                          "<in " + value + " quotes>",
			`printf '<%s>' "$(printf '%s.' {{x}})"`:                    "<" + value + ".>",
			"cat <<END\n<{{x}}>\nEND":                                  "<" + value + ">\n",
			`cat <<< {{x}}`:                                            value + "\n",
			`v={{x}}; printf '<%s>' "$v"`:                              "<" + value + ">",
			`v=({{x}} end); printf '<%s>' "${v[0]}" "${#v[@]}"`:        "<" + value + "><2>",
			`for i in {{x}}; do printf '<%s>' "$i"; done`:              "<" + value + ">",
			`case {{x}} in {{x}}) printf same ;; *) printf no;; esac`:  "same",
			`case zzz in {{x}}) printf matched ;; *) printf no;; esac`: "no",
			`[[ {{x}} == {{x}} ]] && printf same`:                      "same",
			`if [[ zzz == {{x}} ]]; then printf matched; fi`:           "",
			`if [[ zzz =~ ^{{x}}zz$ ]]; then printf matched; fi`:       "",
			`v=zzz; printf '<%s>' "${v#{{x}}}"`:                        "<zzz>",
			`v=zzz; printf '<%s>' ${v%%{{x}}}`:                         "<zzz>",
			`v=a.b; printf '<%s>' "${v/./{{x}}}"`:                      "<a" + value + "b>",
			`unset v; printf '<%s>' "${v:-{{x}}}"`:                     "<" + value + ">",
			`printf '<%s>' >&1 {{x}} 2>/dev/null`:                      "<" + value + ">",
		} {
			compiled, _, err := Compile(script)
			if err != nil {
				t.Fatalf("%s: %v", script, err)
			}
			cmd := exec.Command(bash, "--norc", "-c", compiled)
			cmd.Env, cmd.Dir = []string{"PATH=" + os.Getenv("PATH"), "PARAM_x=" + value, "HOME=/nowhere"}, "/"
			out, err := cmd.CombinedOutput()
			if string(out) != want {
				t.Errorf("%s with %q printed %q (%v); want %q; bash read %s", script, value, out, err, want, compiled)
			}
		}
	}
}

// A script whose value means several words says so.
func TestTheVariableOfAPlaceholderIsSplitAsBashDoes(t *testing.T) {
	t.Parallel()
	for _, script := range []string{`for i in $PARAM_list; do echo "$i"; done`,
		`read -ra list <<< {{list}}; for i in "${list[@]}"; do echo "$i"; done`} {
		compiled, uses, err := Compile(script)
		if err != nil || !slices.Equal(uses, []string{"list"}) {
			t.Fatalf("%s: %q, %v", script, uses, err)
		}
		cmd := exec.Command("bash", "--norc", "-c", compiled)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PARAM_list=one two"}
		if out, err := cmd.CombinedOutput(); string(out) != "one\ntwo\n" {
			t.Errorf("%s printed %q, %v", compiled, out, err)
		}
	}
}

func TestAScriptGetsTheVariablesThatItUses(t *testing.T) {
	t.Parallel()
	values := map[string]string{"a": "1", "b.c": "2", "b-c": "3", "d": "4"}
	got := Values([]string{"a", "b_c", "e"}, values)
	if len(got) != 2 || got["PARAM_a"] != "1" || got["PARAM_b_c"] != "3" {
		t.Errorf("got %q", got)
	}
	values["big"] = strings.Repeat("x", 150<<10)
	if name, size := TooLong([]string{"a", "big"}, values); name != "big" || size != 150<<10 {
		t.Errorf("too long is %s of %d bytes", name, size)
	}
	if name, _ := TooLong([]string{"a", "d"}, values); name != "" {
		t.Errorf("%s is too long", name)
	}
}
