"use strict";
(() => {
  const ON_PAPER = {width: 660, height: 330}; // pixels that fit a printed page
  const plots = () => Array.from(document.querySelectorAll(".plot"));
  const draw = () => {
    const element = document.getElementById("figures");
    const figures = element ? JSON.parse(element.textContent) : {};
    for (const plot of plots()) {
      const {data, layout} = figures[plot.dataset.figure];
      Plotly.newPlot(plot, data, layout, {displayModeBar: false, responsive: true});
    }
    for (const button of document.querySelectorAll("button[data-figure]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        const plot = plots().find((candidate) => candidate.dataset.figure === button.dataset.figure);
        Plotly.downloadImage(plot, {format: "svg", filename: plot.dataset.figure, width: 900, height: 520});
      });
    }
  };
  window.addEventListener("beforeprint", () => {
    for (const plot of plots()) Plotly.relayout(plot, ON_PAPER);
  });
  window.addEventListener("afterprint", () => {
    for (const plot of plots()) Plotly.relayout(plot, {width: null, height: null, autosize: true});
  });
  window.addEventListener("figures", draw); // of a page whose figures came anew
  draw();
})();
