package console

import (
	"fmt"
	"unicode/utf8"
)

// chart is a bar chart: drawn as SVG without script or style of its own, and
// beside it the same numbers as a table, for whoever reads or hears them.
type chart struct {
	ID    string // of the page's elements
	Title string // says in words what the chart shows
	Of    string // what the labels are: heads the table's first column
	Unit  string // what the numbers count: heads the second
	Bars  []bar
}

// bar is one value. Where Tick is set it stands below the bar.
type bar struct {
	Label string
	Tick  string
	N     int
}

// The chart's own units: as wide as a phone's card, so that text in it is as
// large there as beside it.
const (
	chartWidth  = 320
	chartHeight = 64 // of the bars
	chartFoot   = 18 // of the labels below
)

// drawn is a bar with its place.
type drawn struct {
	bar
	X, Y, W, H float64
	TickX      float64
	Anchor     string // of the label: it must not leave the drawing
}

// Width and Height are of the drawing, for its viewBox.
func (c chart) Width() int { return chartWidth }

// Height is that with its labels.
func (c chart) Height() int { return chartHeight + chartFoot }

// Base is where the bars stand.
func (c chart) Base() float64 { return chartHeight + 0.5 }

// Foot is where the labels stand.
func (c chart) Foot() int { return chartHeight + chartFoot - 4 }

// Drawn places the bars. One that counts something is never invisible.
func (c chart) Drawn() []drawn {
	most := 0
	for _, b := range c.Bars {
		most = max(most, b.N)
	}
	step := float64(chartWidth) / float64(max(len(c.Bars), 1))
	gap := min(2, step/4)
	out := make([]drawn, len(c.Bars))
	for i, b := range c.Bars {
		d := drawn{bar: b, X: step*float64(i) + gap/2, W: step - gap, TickX: step * (float64(i) + 0.5), Anchor: "middle"}
		if b.N > 0 {
			d.H = max(3, float64(chartHeight-2)*float64(b.N)/float64(most))
		}
		half := 3.5 * float64(utf8.RuneCountInString(b.Tick)) // of the label, about
		switch d.Y = chartHeight - d.H; {
		case d.TickX < half:
			d.TickX, d.Anchor = 0, "start"
		case d.TickX > chartWidth-half:
			d.TickX, d.Anchor = chartWidth, "end"
		}
		out[i] = d
	}
	return out
}

// Told are the bars that count something.
func (c chart) Told() []bar {
	var out []bar
	for _, b := range c.Bars {
		if b.N > 0 {
			out = append(out, b)
		}
	}
	return out
}

// px writes a length as briefly as a drawing needs it.
func px(f float64) string { return fmt.Sprintf("%.4g", f) }
