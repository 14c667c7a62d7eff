"use strict";
// How strongly the map lies over the one large image; galleries have their own switch.
const slider = document.getElementById("opacity");
const map = document.querySelector(".columns .map");
if (slider && map) {
  const apply = () => { map.style.opacity = slider.value / 100; };
  slider.addEventListener("input", apply);
  apply();
}
