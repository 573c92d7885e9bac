// One player at a time, and a line over the piano roll that shows where it is.
"use strict";
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  const line = player.parentElement.querySelector(".roll i");
  const points = JSON.parse(player.dataset.playhead); // [[second, share of the width], ...]
  const place = (second) => {
    const next = points.findIndex(([s]) => s >= second);
    if (next <= 0) return next ? points.at(-1)[1] : 0;
    const [s0, x0] = points[next - 1], [s1, x1] = points[next];
    return x0 + ((second - s0) / (s1 - s0)) * (x1 - x0);
  };
  const draw = () => {
    line.style.left = `${100 * place(player.currentTime)}%`;
    line.style.display = player.currentTime > 0 && !player.ended ? "block" : "none";
    if (!player.paused) requestAnimationFrame(draw);
  };
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    draw();
  });
  player.addEventListener("seeked", draw);
  player.addEventListener("ended", draw);
}
