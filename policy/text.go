package policy

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/blocklists"
)

// The words and forms in which policies are written: by the store, in declared
// families and on the command line. They last.

var (
	roleWords     = []string{"viewer", "guardian", "owner"}
	keepWords     = []string{"none", "count", "item"}
	searchWords   = []string{"off", "safe", "moderate"}
	matchWords    = []string{"suffix", "exact", "below", "glob"}
	effectWords   = []string{"block", "free"}
	holidayWords  = []string{"usual", "off", "saturday", "sunday"}
	weekdayWords  = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	targetPrefix  = []string{"everything", "category:", "service:", "rule:", "name:"}
	errNoSuchWord = errors.New("no such word")
)

// word returns the word for a value, "unknown" for one that is none.
func word[T ~uint8](words []string, v T) string {
	if int(v) < len(words) {
		return words[v]
	}
	return "unknown"
}

func parseWord[T ~uint8](v *T, what string, words []string, text []byte) error {
	i := slices.Index(words, strings.ToLower(string(text)))
	if i < 0 {
		return fmt.Errorf("reading %s %q: %w; want one of %s", what, clip(string(text)), errNoSuchWord, strings.Join(words, ", "))
	}
	*v = T(i)
	return nil
}

// Clip returns a text whose characters after the first most are left out, which an
// ellipsis shows.
func Clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// clip keeps an error readable when the input is a page of text.
func clip(s string) string { return Clip(s, 60) }

// String returns the word for the role.
func (r Role) String() string { return word(roleWords, r) }

// MarshalText writes the word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "viewer", "guardian" or "owner".
func (r *Role) UnmarshalText(text []byte) error { return parseWord(r, "role", roleWords, text) }

// String returns "none", "count" or "item".
func (k Keep) String() string { return word(keepWords, k) }

// MarshalText writes the word.
func (k Keep) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads "none", "count" or "item".
func (k *Keep) UnmarshalText(text []byte) error { return parseWord(k, "log mode", keepWords, text) }

// String returns "off", "safe" or "moderate".
func (s Search) String() string { return word(searchWords, s) }

// MarshalText writes the word.
func (s Search) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "off", "safe" ("strict" and "on" mean the same) or "moderate".
func (s *Search) UnmarshalText(text []byte) error {
	if t := strings.ToLower(string(text)); t == "strict" || t == "on" {
		*s = SearchSafe
		return nil
	}
	return parseWord(s, "search mode", searchWords, text)
}

// String returns "suffix", "exact", "below" or "glob".
func (m Match) String() string { return word(matchWords, m) }

// MarshalText writes the word.
func (m Match) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the word.
func (m *Match) UnmarshalText(text []byte) error { return parseWord(m, "match", matchWords, text) }

// String returns "block" or "free".
func (e Effect) String() string { return word(effectWords, e) }

// MarshalText writes the word.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads "block" or "free".
func (e *Effect) UnmarshalText(text []byte) error { return parseWord(e, "effect", effectWords, text) }

// String returns "usual", "off", "saturday" or "sunday".
func (h Holidays) String() string { return word(holidayWords, h) }

// MarshalText writes the word.
func (h Holidays) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the word.
func (h *Holidays) UnmarshalText(text []byte) error {
	return parseWord(h, "holiday mode", holidayWords, text)
}

// MarshalText writes the word.
func (c Choice) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word.
func (c *Choice) UnmarshalText(text []byte) (err error) {
	*c, err = ParseChoice(string(text))
	return err
}

// MarshalText writes "A" to "E" or "adult".
func (p Preset) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "A" to "E" or "adult".
func (p *Preset) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePreset(string(text))
	return err
}

// String returns "HH:MM".
func (m Minutes) String() string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

// Span says how long m is: "24 hours", "1 hour", "01:30 hours".
func (m Minutes) Span() string {
	switch {
	case m == 60:
		return "1 hour"
	case m%60 == 0:
		return fmt.Sprintf("%d hours", m/60)
	}
	return fmt.Sprintf("%s hours", m)
}

// MarshalText writes "HH:MM".
func (m Minutes) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads "HH:MM" with any number of hours that fits.
func (m *Minutes) UnmarshalText(text []byte) error {
	h, min, ok := strings.Cut(string(text), ":")
	hours, err1 := strconv.ParseUint(h, 10, 16)
	minutes, err2 := strconv.ParseUint(min, 10, 16)
	if !ok || err1 != nil || err2 != nil || len(min) != 2 || minutes > 59 || hours*60+minutes > 1<<16-1 {
		return fmt.Errorf("reading time %q: write hours and minutes, for example 21:30", clip(string(text)))
	}
	*m = Minutes(hours*60 + minutes)
	return nil
}

// String returns the days in the order of the week from Monday, with spans:
// "Mon-Fri", "Sat,Sun", "Sun-Thu"; "daily" for all.
func (d Days) String() string {
	if d&127 == 127 {
		return "daily"
	}
	has := func(i int) bool { return d&(1<<(i%7)) != 0 }
	first := 1
	if has(0) && has(1) { // a span goes over the end of the week: "Sun-Thu"
		for first = 7; has(first - 1); first-- {
		}
	}
	var parts []string
	for i := first; i < first+7; i++ {
		if !has(i) {
			continue
		}
		j := i
		for j+1 < first+7 && has(j+1) {
			j++
		}
		switch first, last := weekdayWords[i%7], weekdayWords[j%7]; j - i {
		case 0:
			parts = append(parts, first)
		case 1:
			parts = append(parts, first, last)
		default:
			parts = append(parts, first+"-"+last)
		}
		i = j
	}
	return strings.Join(parts, ",")
}

// MarshalText writes what String returns.
func (d Days) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "daily", "Mon-Fri", "Sat,Sun", "Fri-Mon".
func (d *Days) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.EqualFold(s, "daily") {
		*d = 127
		return nil
	}
	day := func(s string) (int, error) {
		i := slices.IndexFunc(weekdayWords, func(w string) bool { return strings.EqualFold(w, strings.TrimSpace(s)) })
		if i < 0 {
			return 0, fmt.Errorf("reading days %q: %q is no day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, a span like Mon-Fri, or daily", clip(string(text)), clip(s))
		}
		return i, nil
	}
	var out Days
	for part := range strings.SplitSeq(s, ",") {
		first, last, span := strings.Cut(part, "-")
		from, err := day(first)
		if err != nil {
			return err
		}
		to := from
		if span {
			if to, err = day(last); err != nil {
				return err
			}
		}
		for i := from; ; i = (i + 1) % 7 {
			out |= 1 << i
			if i == to {
				break
			}
		}
	}
	*d = out
	return nil
}

// Whole reports whether the window lasts 24 hours: one that ends as it begins, and
// one from midnight to midnight.
func (w Window) Whole() bool { return w.To%(24*60) == w.From }

// String returns "Mon-Fri 21:30-06:30", which UnmarshalText reads.
func (w Window) String() string { return fmt.Sprintf("%s %s-%s", w.Days, w.From, w.To) }

// Text says the window in a sentence: as String does, or "Mon-Fri 15:00 for 24 hours".
func (w Window) Text() string { return w.Days.String() + " " + w.HoursText() }

// HoursText is Text without the days.
func (w Window) HoursText() string {
	if w.Whole() {
		return w.From.String() + " for 24 hours"
	}
	return w.From.String() + "-" + w.To.String()
}

// MarshalText writes what String returns.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads "Mon-Fri 21:30-06:30"; days left out mean daily.
func (w *Window) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	out := Window{Days: 127}
	if len(fields) == 2 {
		if err := out.Days.UnmarshalText([]byte(fields[0])); err != nil {
			return err
		}
		fields = fields[1:]
	}
	var from, to string
	ok := len(fields) == 1
	if ok {
		from, to, ok = strings.Cut(fields[0], "-")
	}
	if !ok {
		return fmt.Errorf("reading window %q: write days and times, for example Mon-Fri 21:30-06:30", clip(string(text)))
	}
	if err := out.From.UnmarshalText([]byte(from)); err != nil {
		return err
	}
	if err := out.To.UnmarshalText([]byte(to)); err != nil {
		return err
	}
	if out.To == 0 {
		out.To = 24 * 60 // "21:30-00:00"
	}
	if out.From >= 24*60 || out.To > 24*60 {
		return fmt.Errorf("reading window %q: a day goes from 00:00 to 24:00", clip(string(text)))
	}
	*w = out
	return nil
}

// String returns "2026-12-24".
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// MarshalText writes what String returns.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "2026-12-24".
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("reading day %q: write year, month and day, for example 2026-12-24", clip(string(text)))
	}
	*d = dateOf(t)
	return nil
}

// dateOf returns the day that t shows.
func dateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// Before reports whether d comes before e.
func (d Date) Before(e Date) bool {
	if d.Year != e.Year {
		return d.Year < e.Year
	}
	if d.Month != e.Month {
		return d.Month < e.Month
	}
	return d.Day < e.Day
}

// String returns "aa:bb:cc:dd:ee:ff".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText writes what String returns.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the forms of [net.ParseMAC] for EUI-48.
func (m *MAC) UnmarshalText(text []byte) error {
	a, err := net.ParseMAC(string(text))
	if err != nil || len(a) != len(m) {
		return fmt.Errorf("reading hardware address %q: write six bytes, for example aa:bb:cc:dd:ee:ff", clip(string(text)))
	}
	copy(m[:], a)
	return nil
}

// String returns "everything", "category:social", "service:tiktok", "rule:3" or
// "name:example.org".
func (t Target) String() string {
	p := word(targetPrefix, t.Kind)
	switch t.Kind {
	case ForCategory:
		return p + t.Category.String()
	case ForService:
		return p + t.Service
	case ForRule:
		return p + strconv.FormatInt(int64(t.Rule), 10)
	case ForName:
		return p + t.Name.String()
	}
	return p
}

// MarshalText writes what String returns.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what String returns.
func (t *Target) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if s == targetPrefix[ForEverything] {
		*t = Target{}
		return nil
	}
	for k := ForCategory; int(k) < len(targetPrefix); k++ {
		rest, ok := strings.CutPrefix(s, targetPrefix[k])
		if !ok {
			continue
		}
		out := Target{Kind: k}
		switch k {
		case ForCategory:
			out.Category, err = blocklists.ParseCategory(rest)
		case ForService:
			if out.Service = rest; rest == "" {
				err = errors.New("a service is missing")
			}
		case ForRule:
			var id int64
			if id, err = strconv.ParseInt(rest, 10, 64); err == nil && id <= 0 {
				err = errors.New("rules are numbered from 1")
			}
			out.Rule = RuleID(id)
		case ForName:
			if out.Name, err = blocklists.ParseName(rest); err == nil && out.Name == "" {
				err = errors.New("a name is missing")
			}
		}
		if err != nil {
			return fmt.Errorf("reading target %q: %w", clip(s), err)
		}
		*t = out
		return nil
	}
	return fmt.Errorf("reading target %q: write everything, category:ID, service:ID, rule:NUMBER or name:NAME", clip(s))
}
