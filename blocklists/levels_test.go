package blocklists

// ruleLevels is a set of the kinds of rules of one list that cover a name, by which
// the tests say what heed has to make of them.
type ruleLevels uint8

const (
	levelBlock ruleLevels = 1 << iota
	levelExcept
	levelImportant
	levelImportantExcept
)

// level returns the kind of rule that e is.
func (e Entry) level() ruleLevels {
	switch {
	case e.Except && e.Important:
		return levelImportantExcept
	case e.Important:
		return levelImportant
	case e.Except:
		return levelExcept
	}
	return levelBlock
}

// blocks reports whether rules of these kinds together block.
func (l ruleLevels) blocks() bool {
	switch {
	case l&levelImportantExcept != 0:
		return false
	case l&levelImportant != 0:
		return true
	}
	return l&levelExcept == 0 && l&levelBlock != 0
}
