package shell

import "testing"

func TestANameWithADashIsReadAsOneVariable(t *testing.T) {
	t.Parallel()
	names := []string{"rel", "rel-name", "rel-name-long", "session-id"}
	for script, want := range map[string]string{
		`echo ${rel-name}`: `echo ${rel_name}`,
		`echo "$rel-name/$rel-name-long/${rel-names}"`: `echo "${rel_name}/${rel_name_long}/${rel-names}"`,
		`echo '${rel-name}' \$rel-name`:                `echo '${rel-name}' \$rel-name`,
		`x=$(cat <<E` + "\n$session-id $rel\nE\n)":     `x=$(cat <<E` + "\n${session_id} $rel\nE\n)",
		`echo ${rel:-name} ${rel-$session-id}`:         `echo ${rel:-name} ${rel-${session_id}}`,
		`echo $rel -name`:                              `echo $rel -name`,
		`if then ${rel-name}`:                          `if then ${rel-name}`,
	} {
		if got := Dashed(script, names); got != want {
			t.Errorf("%s became %s; want %s", script, got, want)
		}
	}
}
