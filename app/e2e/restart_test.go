package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/app/e2e/internal/stage"
)

func TestKilledServerLeavesNoProcessAndNoRunInFlight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		settings func(t *testing.T) []string
	}{
		{"the embedded database", func(*testing.T) []string { return nil }},
		{"a database of its own", func(t *testing.T) []string { return []string{stage.OnDatabase(t)} }},
		{"another user for agents", func(t *testing.T) []string {
			return []string{stage.OnDatabase(t), stage.ForAgents(t)}
		}},
	} {
		t.Run("with "+tt.name, func(t *testing.T) {
			t.Parallel()
			s := stage.Serve(t, slices.Concat(stage.AsAdministrator, tt.settings(t))...)
			v := stage.Visit(t, s)
			gates := stage.Folder(t)
			if err := os.Chmod(gates, 0o777); err != nil { //nolint:gosec // scripts of another user write there
				t.Fatal(err)
			}
			mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.Data)
			// One child stays in its group, one leaves it and ignores what it is asked.
			automation := v.Automation(t, "Long one", fmt.Sprintf(`export %s
sleep 3600 &
setsid bash -c "trap '' TERM HUP INT; touch '%[2]s/child'; while :; do sleep 1; done" &
until [ -e '%[2]s/child' ]; do sleep 0.02; done
if [ -e '%[2]s/again' ]; then exit 0; fi
touch '%[2]s/started'
wait
`, mark, gates))
			session := v.Run(t, automation)
			stage.Exists(t, filepath.Join(gates, "started"))
			// A child that has yet to become its program does not show the mark.
			stage.Eventually(t, "the script and its children to run", func() bool { return stage.Marked(t, mark) >= 3 })
			if is := v.Fact(t, session, "Run"); is != "Running" {
				t.Fatalf("the run is %s; want Running", is)
			}

			s.Kill(t)
			s.Start(t)
			v.Ends(t, session, "Failed")
			history := v.Get(t, automation).Said()
			if want := "interrupted by a restart"; !strings.Contains(strings.ToLower(history), want) {
				t.Errorf("the history says %q; want %q in it", history, want)
			}
			stage.Eventually(t, "the processes of the run to be gone", func() bool {
				return stage.Marked(t, mark) == 0
			})

			stage.Touch(t, filepath.Join(gates, "again"))
			v.Ends(t, v.Run(t, automation), "Succeeded")
			stage.Eventually(t, "the processes of the next run to be gone", func() bool {
				return stage.Marked(t, mark) == 0
			})
		})
	}
}

func TestStoppedServerWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	gates := stage.Folder(t)
	mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.Data)
	automation := v.Automation(t, "Patient one",
		fmt.Sprintf("export %s\necho Waiting\ntouch '%s/started'\nsleep 3600\n", mark, gates))
	session := v.Run(t, automation)
	stage.Exists(t, filepath.Join(gates, "started"))
	stream, err := v.Client.Get(s.Base + session + "/stream?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close() //nolint:errcheck // the server ends it
	if _, err := stream.Body.Read(make([]byte, 1)); err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream answered %d, %v; want that it has begun", stream.StatusCode, err)
	}

	s.Stop(t) // does not wait for the hour of the run
	if n := stage.Marked(t, mark); n != 0 {
		t.Errorf("%d processes of the run are left", n)
	}
	s.Start(t)
	v.Ends(t, session, "Failed")
	if history := v.Get(t, automation).Said(); !strings.Contains(strings.ToLower(history), "interrupted by a restart") {
		t.Errorf("the history says %q; want that a restart interrupted it", history)
	}
}
