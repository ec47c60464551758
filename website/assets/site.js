// What scrolls sideways in a frame of its own can be scrolled by keyboard, too.
addEventListener("load", () => {
  const frames = () => document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code");
  const mark = () => {
    for (const frame of frames()) {
      if (frame.scrollWidth > frame.clientWidth) frame.tabIndex = 0;
      else frame.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", mark);
  addEventListener("toggle", mark, true);
  mark();
});
