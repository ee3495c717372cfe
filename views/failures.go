package views

// FailureWord is the kind of a failure in words, from its class; empty for none.
func FailureWord(class string) string {
	switch class {
	case "start", "model", "permission":
		return "Configuration"
	case "auth":
		return "Authentication"
	case "rate_limit":
		return "Quota or rate limit"
	case "transient":
		return "Transient"
	case "agent", "context":
		return "Task"
	case "unknown":
		return "Conversation lost"
	case "timeout", "idle":
		return "Timeout"
	case "interrupted":
		return "Interrupted"
	case "budget":
		return "Budget"
	case "gate":
		return "Gate"
	case "internal":
		return "Carillon itself"
	case "outage":
		return "Outage"
	case "waiting":
		return "Waited too long"
	}
	return ""
}

// FailureHelp explains what a kind of failure means for the next run. It is empty where no explanation is needed.
func FailureHelp(class string) string {
	switch class {
	case "start", "model", "permission":
		return "The configuration is wrong or incomplete. Runs fail until it is corrected."
	case "auth":
		return "The provider refused the sign-in. Its runs wait until the sign-in works. This failure does not count " +
			"against the automation."
	case "rate_limit":
		return "The provider’s quota is used up, or a rate limit was reached. Its runs wait until it answers again. " +
			"This failure does not count against the automation."
	case "transient":
		return "The provider’s servers failed temporarily. Such runs are retried as often as the automation allows."
	case "context":
		return "The conversation became too long for the model."
	case "unknown":
		return "The agent no longer has the conversation that it should continue. A new session begins a new " +
			"conversation."
	case "idle":
		return "The agent produced no output for so long that it was stopped."
	case "outage":
		return "A resource of the run was temporarily unavailable: the network, the forge, a lock in the repository, " +
			"or the disk. Such runs are retried and do not count against the automation."
	case "waiting":
		return "A run waits at most a day for a free worker and for its provider. This failure does not count " +
			"against the automation."
	case "internal":
		return "The automation did not cause this error. The server’s log has details."
	}
	return ""
}
