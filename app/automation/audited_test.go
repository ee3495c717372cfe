package automation

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"carillon/db"
)

// TestTheAuditLogHasEveryFieldOfAnAutomation changes each column alone.
func TestTheAuditLogHasEveryFieldOfAnAutomation(t *testing.T) {
	t.Parallel()
	lives := []string{ // how it fares, which nobody edits
		"ID", "Iterations", "NextRunAt", "ScheduledSince", "DisabledKind", "DisabledReason", "DisabledAt",
		"FailureStreak", "SkipID", "Version", "CreatedAt", "UpdatedAt",
		"BaseModel", "Workspace", "Creator",
	}
	blank := fmt.Sprint(described(&db.Automation{}))
	of := reflect.TypeFor[db.Automation]()
	for i := range of.NumField() {
		if slices.Contains(lives, of.Field(i).Name) {
			continue
		}
		var a db.Automation
		setSome(reflect.ValueOf(&a).Elem().Field(i))
		if fmt.Sprint(described(&a)) == blank {
			t.Errorf("a change of %s is not in the audit log", of.Field(i).Name)
		}
	}
}

// setSome gives a value that is not the zero one.
func setSome(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Array:
		setSome(v.Index(0))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setSome(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("x"))
	case reflect.Struct:
		if v.Type().String() == "time.Time" {
			v.Set(reflect.ValueOf(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)))
			return
		}
		setSome(v.Field(v.NumField() - 1))
	}
}
