package shell

import "slices"

const (
	maxVariable  = 100 << 10 // the kernel takes 128 KiB for one string
	maxVariables = 1 << 20   // and about 2 MiB for all by default
)

// Values gives the variables of a script that uses some names, from values by name. A name without a value gets the
// value of another name with the same Variable, the first in order.
func Values(uses []string, values map[string]string) map[string]string {
	given := make(map[string]string, len(uses))
	var others map[string]string // names by variable; made where it is needed
	for _, name := range uses {
		variable := Variable(name)
		if _, taken := given[variable]; taken {
			continue
		}
		if value, ok := values[name]; ok {
			given[variable] = value
			continue
		}
		if others == nil {
			others = byVariable(values)
		}
		if other, ok := others[variable]; ok {
			given[variable] = values[other]
		}
	}
	return given
}

func byVariable(values map[string]string) map[string]string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	first := make(map[string]string, len(names))
	for _, name := range names {
		variable := Variable(name)
		if _, taken := first[variable]; !taken {
			first[variable] = name
		}
	}
	return first
}

// TooLong finds the first name of a script whose value exceeds the bound of one variable or, with the values before it,
// the bound of all. It returns the size of the value in bytes. The name is empty if all values fit.
func TooLong(uses []string, values map[string]string) (name string, size int) {
	given, total := Values(uses, values), 0
	for _, name := range uses {
		variable := Variable(name)
		value, ok := given[variable]
		if !ok {
			continue
		}
		total += len(variable) + len(value) + 2
		if len(variable)+len(value)+2 > maxVariable || total > maxVariables {
			return name, len(value)
		}
	}
	return "", 0
}
