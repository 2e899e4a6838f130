package console

// serveEvents tells a program when something of the family may have changed, as
// pages are told: see [live].
func serveEvents(v *visit) error {
	if err := v.admitProgram(scopeRead | scopeRequests); err != nil {
		return err
	}
	if v.actor.Guardian == 0 {
		return &Refusal{Kind: Forbidden}
	}
	return live(v)
}
