package console

import (
	"strings"

	"kinward/policy"
)

// week is the drawing of a schedule: seven columns of a day, in which its windows
// are. Sizes are in the units of the drawing.
type week struct {
	Label  string // the same in words
	Days   []weekDay
	Hours  []weekHour
	Blocks []weekBlock
	Free   bool // what is drawn is free, not blocked
	Off    bool
}

type (
	weekDay struct {
		X, Middle int
		Name      string
	}
	weekHour struct {
		Y, Below int
		Name     string
	}
	weekBlock struct{ X, Y, Width, Height int }
)

const (
	weekLeft, weekTop     = 34, 20
	weekColumn, weekPerHr = 38, 8
)

// week draws the windows of a schedule, those of a usual week.
func (l *textLanguage) week(s schedule) week {
	w := week{Free: s.Effect == policy.Frees, Off: s.Off}
	var words []string
	for i, d := range calendar {
		x := weekLeft + i*weekColumn
		w.Days = append(w.Days, weekDay{x, x + weekColumn/2, l.text("times.short-" + d.key)})
	}
	for h := 0; h <= 24; h += 6 {
		y := weekTop + h*weekPerHr
		w.Hours = append(w.Hours, weekHour{y, y + 3, policy.Minutes(h * 60).String()})
	}
	for _, window := range s.Windows {
		words = append(words, l.window(window))
		for i, d := range calendar {
			if window.Days&(1<<d.bit) == 0 {
				continue
			}
			if window.To > window.From {
				w.block(i, window.From, window.To)
				continue
			}
			w.block(i, window.From, 24*60)
			w.block((i+1)%7, 0, window.To)
		}
	}
	w.Label = strings.Join(words, "; ")
	return w
}

func (w *week) block(column int, from, to policy.Minutes) {
	if from == to {
		return
	}
	y := func(m policy.Minutes) int { return weekTop + int(m)*weekPerHr/60 }
	w.Blocks = append(w.Blocks, weekBlock{weekLeft + column*weekColumn + 2, y(from), weekColumn - 4, max(1, y(to)-y(from))})
}
