// What a page of the map is: by mouse or finger, or with the arrow keys in an arena.
'use strict';
const detail = document.getElementById('detail');
let chosen = null;

function choose(rect) {
  if (chosen) chosen.classList.remove('chosen');
  chosen = rect;
  if (!rect) return;
  rect.classList.add('chosen');
  const arena = rect.closest('figure').dataset.arena;
  detail.textContent = 'arena ' + arena + ', ' + rect.querySelector('title').textContent;
}

for (const svg of document.querySelectorAll('figure svg')) {
  const rects = Array.from(svg.querySelectorAll('rect'));
  svg.addEventListener('pointerover', event => {
    const rect = event.target.closest('rect');
    if (rect) choose(rect);
  });
  svg.addEventListener('focus', () => { if (!svg.contains(chosen)) choose(rects[0]); });
  svg.addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    const place = event.key === 'Home' ? 0 : event.key === 'End' ? rects.length - 1
      : step ? Math.min(Math.max(rects.indexOf(chosen) + step, 0), rects.length - 1) : -1;
    if (place < 0) return;
    choose(rects[place]);
    event.preventDefault();
  });
}
