//go:build !crashpoints

package crash

import "time"

// Compiled says whether this build has crash points.
const Compiled = false

// Here does nothing: this build has no crash points.
func Here(Point) {}

// Every is how often something is done that is done rarely: as often as it says.
func Every(d time.Duration) time.Duration { return d }
