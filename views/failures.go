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

// FailureHelp is what a kind of failure means for the next run; empty where nothing is to be said.
func FailureHelp(class string) string {
	switch class {
	case "start", "model", "permission":
		return "Something is not set up as it needs to be. It fails again until that is mended."
	case "auth":
		return "The provider did not accept how it is signed in. Its runs wait until that is mended, and this one " +
			"does not count against the automation."
	case "rate_limit":
		return "The provider’s quota is used up, or it was asked too often. Its runs wait until it answers again, " +
			"and this one does not count against the automation."
	case "transient":
		return "The provider’s servers failed for a moment. Such runs are tried again as often as the automation says."
	case "context":
		return "The conversation became too long for the model."
	case "unknown":
		return "The agent does not know the conversation any more that it was to go on with. A new session begins a " +
			"new one."
	case "idle":
		return "The agent said nothing for so long that it was taken to hang."
	case "outage":
		return "What the run needs could not be used for a moment: the network, the forge, a lock in the repository, " +
			"or the disk. Such runs are tried again, and do not count against the automation."
	case "waiting":
		return "A run waits at most a day for a worker with a free place and for its provider. This does not count " +
			"against the automation."
	case "internal":
		return "This is not the automation’s fault. The server’s log says more."
	}
	return ""
}
