package git

import (
	"fmt"
	"strings"
	"testing"
)

const sample = `diff --git a/app.go b/app.go
index 1111111..2222222 100644
--- a/app.go
+++ b/app.go
@@ -10,4 +10,5 @@ func main() {
 	a
-	b
+	c
+	d
 	e
 	f
@@ -30 +31 @@
-old
\ No newline at end of file
+new
diff --git a/old name.txt b/new name.txt
similarity index 100%
rename from old name.txt
rename to new name.txt
diff --git a/pic.png b/pic.png
new file mode 100644
index 0000000..3333333
Binary files /dev/null and b/pic.png differ
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
index 4444444..0000000
--- a/gone.txt
+++ /dev/null
@@ -1,2 +0,0 @@
-diff --git a/x b/x
--- y
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
diff --git a/empty b/empty
new file mode 100644
index 0000000..e69de29
`

func TestADiffIsReadIntoFilesHunksAndNumberedLines(t *testing.T) {
	t.Parallel()
	files, err := ParseDiff(sample)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %s (%s) +%d-%d %v", f.Status, f.Path, f.Old, f.Additions, f.Deletions,
			f.Binary))
	}
	want := []string{
		"modified app.go () +3-2 false", "renamed new name.txt (old name.txt) +0-0 false", "added pic.png () +0-0 true",
		"deleted gone.txt () +0-2 false", "modified run.sh () +0-0 false", "added empty () +0-0 false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s; want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var lines []string
	for _, h := range files[0].Hunks {
		lines = append(lines, "@ "+h.Heading)
		for _, l := range h.Lines {
			lines = append(lines, fmt.Sprintf("%s %d %d %s %v", l.Kind, l.Old, l.New, strings.TrimSpace(l.Text),
				l.NoEnd))
		}
	}
	want = []string{
		"@ func main() {", "context 10 10 a false", "deleted 11 0 b false", "added 0 11 c false", "added 0 12 d false",
		"context 12 13 e false", "context 13 14 f false",
		"@ ", "deleted 30 0 old true", "added 0 31 new false",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s; want\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestADiffCutAnywhereIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	for n := range len(sample) {
		text := sample[:n]
		whole := text[:strings.LastIndexByte(text, '\n')+1] // as Diff cuts
		for _, text := range []string{text, whole} {
			files, err := ParseDiff(text)
			if want := strings.Count("\n"+text, "\ndiff --git a/"); err != nil && strings.HasSuffix(text, "\n") ||
				len(files) < want-1 {
				t.Fatalf("cut at %d: %d files, %v of\n%s", n, len(files), err, text)
			}
		}
	}
}

func TestWhatIsNoDiffIsAnErrorOrNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hello\n", "* Unmerged path x\n"} {
		if files, err := ParseDiff(text); err != nil || len(files) != 0 {
			t.Errorf("%q: got %v, %v", text, files, err)
		}
	}
	if _, err := ParseDiff("diff --git nonsense\n"); err == nil {
		t.Error("nonsense was read")
	}
}

func FuzzParseDiff(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		files, _ := ParseDiff(text)
		for _, file := range files {
			added := 0
			for _, h := range file.Hunks {
				for _, l := range h.Lines {
					if l.Kind == AddedLine {
						added++
					}
				}
			}
			if added != file.Additions {
				t.Errorf("%d lines were added, %d are counted", added, file.Additions)
			}
		}
	})
}
