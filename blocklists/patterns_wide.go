package blocklists

import "strings"

// A pattern that covers a public suffix, or whatever somebody may register
// there, is no statement about a site. What a pattern covers cannot be counted,
// so it is tried on names that nobody would want to block: public suffixes, and
// words without meaning below them.

var (
	probeSuffixes = strings.Fields(`com net org edu gov info biz io co me tv app dev xyz top online site shop de uk fr it es
		nl pl ru cn jp br au us ca in ch at eu co.uk org.uk ac.uk gov.uk com.au net.au edu.au gov.au com.br gov.br co.jp
		ac.jp co.in co.nz co.za com.mx com.tr com.cn gov.cn edu.cn com.tw com.ua github.io blogspot.com pages.dev`)
	probeWords = strings.Fields("kqzvw kqzvwjxp kqzvwjxpqkzgv k7q9z2vw 7q kq-zv-wj xn--kqz")
)

// matchesProbe reports whether match accepts a name that a pattern must not.
// words are those that stand in the pattern: if one is a top-level domain, the
// pattern may be about all of it.
func matchesProbe(words []string, match func(text []byte) bool) bool {
	suffixes := probeSuffixes
	for _, w := range words {
		if isTLD(w) {
			suffixes = append(suffixes[:len(suffixes):len(suffixes)], w)
		}
	}
	try := func(text string) bool { return match([]byte("." + text + ".")) }
	for _, s := range suffixes {
		if try(s) {
			return true
		}
		for _, w := range probeWords {
			if try(w+"."+s) || try("www."+w+"."+s) {
				return true
			}
		}
	}
	return false
}
