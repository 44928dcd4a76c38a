"use strict";
(() => {
  document.addEventListener("htmx:afterSwap", () => dispatchEvent(new Event("figures")));
  for (const input of document.querySelectorAll("input[type=file][data-max-bytes]")) {
    const limit = Number(input.dataset.maxBytes);
    input.addEventListener("change", () => {
      const isTooLarge = Array.from(input.files).some((file) => file.size > limit);
      input.setCustomValidity(isTooLarge ? input.dataset.tooLarge : "");
      input.reportValidity();
    });
  }
})();
